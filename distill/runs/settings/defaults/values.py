"""Values of defaults in a situation: one function for each setting."""

from distill.runs.settings.situation import SQUARED, Situation

FOREVER = 10**9  # outer steps where --minutes is the only limit
LONGEST = 3  # a horizon, in recipes
MOST_STEPS = 10**5
ADAM_STEPS, ADAM_LR, ADAM_LR_END = 200, 0.001, 0.01  # of the protocol adam, whose rate falls to zero
UNROLLED_STEPS = 50  # that go as far, at four times the rate, in a quarter of the time
DC_POOL_WAY = 0.5  # rate times steps: 10 at 0.05 go as far as the 50 of the paper at 0.01
QUICK_STEPS, QUICK_LR = 6, 0.04  # of runs that end within two minutes


def network(s: Situation) -> str | None:
    if not s.text:
        return None  # lenet, or the user's own
    return "linear" if s.encoded else "textcnn"


def inner_loss(s: Situation) -> str | None:
    learns_anew = s.start == "regression" or (s.random_convnet and not s.start)  # measured for those alone
    return SQUARED if s.random_unroll and learns_anew and not s.labels else None


def outer_loss(s: Situation) -> str | None:
    return "best-temperature" if s.probe else None


def labels(s: Situation) -> str:
    if s.windowed or s.by_trajectory:
        return "softmax"
    if s.pretrained and not s.fixed and not s.by_class:
        return "softmax"
    if s.by_class:
        return "softmax" if s.fixed_items else "hard"
    if (s.encoded or s.by_adam) and s.random_unroll and not s.start:
        return "softmax"
    if not s.random_unroll or s.regresses or s.start == "signed" or not (s.start or s.random_convnet):
        return "soft"
    return "softmax"


def max_horizon(s: Situation) -> int | None:
    if not (s.random_unroll and s.bounded) or s.text:
        return None
    return max(min(LONGEST * s.inner_steps, MOST_STEPS), s.min_horizon)


def start(s: Situation) -> str:
    if s.windowed and s.labels == "softmax" and not (s.fixed or s.text or s.trained):
        return "frepo"
    if s.recovers:
        return "noise"
    if s.implicit and not (s.fixed or s.text or s.trained):
        return "frepo"
    means = s.random_convnet or s.pooled or s.quick or (s.encoded and not s.fixed)
    return "means" if means else "real"


def start_scale(s: Situation) -> float | None:
    is_measured = s.network in ("lenet", "mlp")  # a convnet begins worse with it
    return 8.0 if s.quick and is_measured and s.labels == "soft" and not s.regresses else None


def pool_augment(s: Situation) -> str | None:
    return "affine" if s.patient and s.mnist else None


def max_age(s: Situation) -> int | None:
    if not s.by_class:
        return None
    return 1 if s.n <= 20 or s.method == "dm" else 10 if s.n <= 200 else 50


def pool_lr(s: Situation) -> float | None:
    dc_lr = DC_POOL_WAY / max(s.pool_steps, 10) if s.method == "dc" and 20 < s.n <= 200 else None
    return ADAM_LR if s.by_adam else dc_lr


def lr_end(s: Situation) -> float | None:
    return ADAM_LR_END if s.by_adam else None


def inner_steps(s: Situation) -> int:
    if s.pretrained:
        return 4
    if s.by_adam:
        return UNROLLED_STEPS if s.unrolls else ADAM_STEPS
    if s.ridge:
        return 300 if s.text else 100
    if s.patient or s.by_trajectory:
        return 300
    if s.text:
        return 10 if s.fixed else 20
    if s.fixed:
        return QUICK_STEPS if s.quick else 12 if s.n <= 5 else 8
    return (12 if s.n <= 20 else 50) if s.random_convnet else max(20, s.n)


def rule(s: Situation) -> str:
    if s.pretrained and not s.pooled:
        return "momentum"
    if s.ridge:
        return "momentum" if s.normed else "adam"
    if s.encoded and s.random_unroll and s.labels == "softmax":
        return "adam"
    return "sgd" if s.fixed and not s.windowed else "momentum"


def batch(s: Situation) -> int:
    if s.fixed and not s.pooled:
        return s.n
    return max(b for b in range(1, 101 if s.pooled or s.by_trajectory else 21) if s.n % b == 0)


def label_lr_scale(s: Situation) -> float:
    if s.pretrained:
        return 10.0
    if s.text and s.by_adam:
        return 3.0
    return 1.0 if s.text or s.pooled or s.by_trajectory else 4.0 if s.fixed else 0.5


def ema_decay(s: Situation) -> float:
    if s.pretrained:
        return 0.98
    if s.pooled:
        return 0.99 if s.ridge else 0.98
    if s.by_trajectory:
        return 0.98
    return 0.998 if s.fixed else 0.99 if s.by_adam or not s.text else 0.997


def engine(s: Situation) -> str | None:
    if not s.unrolls:
        return None
    if s.pretrained:
        return "recompute"
    longest = max(s.inner_steps, s.max_horizon) if s.random_unroll else s.inner_steps
    return "unroll" if longest <= (UNROLLED_STEPS if s.by_adam else 30) else "truncated"


def lr_per(s: Situation) -> str:
    return "tensor" if (s.fixed or s.text) and not (s.ridge or s.by_adam) else "step"


def lr_lr_scale(s: Situation) -> float:
    if s.by_adam:
        return 0.0
    return 20.0 if s.pretrained else 2.0 if s.fixed or s.text else 0.5


def validate_every(s: Situation) -> int:
    if s.pretrained:
        return 50
    return 400 if s.ridge and not s.implicit else 100 if s.pooled else 200


def test_networks(s: Situation) -> int:
    if s.pretrained:
        return 3
    return 100 if s.text else 20


def synthetic_length(s: Situation) -> int:
    return 12 if s.pretrained else 6 if s.fixed else 10


def vectors(s: Situation) -> str:
    if s.pretrained:
        return s.network
    return "bundled" if s.bundled else "glove.6B.100d"


def inner_lr(s: Situation) -> float:
    if s.pretrained:
        return 0.05
    if s.by_trajectory:
        return 0.02
    if s.patient and s.rule == "momentum":
        return 0.01
    if s.by_adam:
        return ADAM_LR * ADAM_STEPS / s.inner_steps if s.unrolls else ADAM_LR
    if (s.ridge or (s.random_unroll and s.regresses)) and s.rule != "sgd":
        return {"momentum": 0.002 if s.ridge and s.n <= 20 else 0.004, "adam": 0.001}[s.rule]
    if s.rule == "sgd":
        return (0.2 if s.text else 0.18 if s.quick else 0.1) / s.inner_steps
    return {"momentum": 0.02 if s.random_convnet else 0.01, "adam": 0.003}[s.rule]


def lr_profile(s: Situation) -> str:
    is_known = s.network == "lenet" and s.inner_steps == QUICK_STEPS and s.lr_per == "tensor"
    return "lenet" if s.quick and is_known else "even"


def outer_steps(s: Situation) -> int:
    if s.limited:
        return FOREVER
    if s.pretrained:
        return 500
    if s.probe:
        return 1000
    return (3000 if s.fixed else 2000) if s.text else (8000 if s.fixed else 1500)


def outer_batch(s: Situation) -> int:
    if s.by_class:
        return 640
    if s.by_trajectory or s.recovers:
        return 1
    if s.ridge:
        return 256
    if s.text:
        return 2048 if s.probe else 32 if s.pretrained else 64 if s.fixed else 128
    small = s.fixed or s.random_convnet or s.windowed
    return 128 if small and not (s.quick and s.n > 5) else 256


def outer_rule(s: Situation) -> str:
    return "ggt" if s.quick else "adam"


def outer_lr(s: Situation) -> float:
    if s.pooled:
        return 0.1 if s.ridge and s.plain_convnet else 0.01
    if s.recovers:
        return 0.25
    if s.pretrained:
        return 0.005
    if s.probe:
        return 0.01
    return 0.03 if s.by_adam else 0.05 if s.fixed or s.text else 0.02


def warmup(s: Situation) -> int:
    if s.text or s.implicit or s.quick:
        return 20
    return 50 if s.ridge else 20 if s.pooled or s.by_trajectory else 200


def weight_init(s: Situation) -> str:
    if s.ridge and s.plain_convnet:
        return "kaiming-hidden"
    return "own" if s.pooled or s.by_trajectory else "uniform" if s.fixed or s.text else "xavier"


def dc_networks(s: Situation) -> int:
    if s.fixed or s.text or s.trained:
        return 0
    return 3 if s.n <= 20 else 1 if s.n <= 100 else 0
