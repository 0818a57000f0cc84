"""Checks: whether every word and number of a recipe's stages can be run, before anything is trained."""

from distill.data.augment.batch import build_augmentation
from distill.errors import NetworkError, UserError, unknown
from distill.kd.losses import KDLoss
from distill.kd.networks import Network, Networks, find_frozen
from distill.kd.plugins.losses import find_loss
from distill.kd.recipe.files import is_short
from distill.kd.recipe.parts import (
    BoundPart,
    LossPart,
    RampPart,
    Recipe,
    RecipeError,
    SearchPart,
    StagePart,
    TurnPart,
    check_numbers,
)
from distill.kd.taps import find_module
from distill.kd.techniques.quantisation import find_layers
from distill.kd.training.optimisers import try_optimiser
from distill.kd.training.ramps import check_ramp
from distill.kd.training.schedules import try_schedule
from distill.kd.training.turns import choose_rates


def check_recipe(recipe: Recipe, networks: Networks) -> None:
    """Every stage, with the anchors that the stages before it keep. Raises RecipeError that names the key."""
    for i, stage in enumerate(recipe.stages):
        where = f"stages.{i}"
        check_stage(stage, where, recipe)
        for learner, turn in stage.turns.items():
            check_learner(learner, where, recipe)
            check_frozen(turn, f"{where}.turns.{learner}", networks[learner])
            check_rounding(stage, where, networks[learner])
            if not turn.losses:
                raise RecipeError(f"{where}.turns.{learner}: it has no loss to learn from")
            check_rates(stage, learner, where)
            key = f"{where}.turns.{learner}" + ("" if is_short(turn) else ".losses")
            for j, part in enumerate(turn.losses):
                check_loss(part, f"{key}.{j}", networks[learner], networks, recipe)
        anchors = {f"{name}@{k + 1}": networks[name] for name in stage.turns for k in range(stage.keep)}
        owners = stage.turns if stage.keep else ()  # of copies that these replace
        networks = {
            n: network for n, network in networks.items() if "@" not in n or n.split("@")[0] not in owners
        }
        networks |= anchors
        check_route(stage, where, networks)


def check_route(stage: StagePart, where: str, networks: Networks) -> None:
    """A route of a network that was kept, and numbers of its anchors. Raises RecipeError."""
    if stage.route is None:
        if stage.anchors is not None:
            raise RecipeError(f"{where}.anchors: there is no route, whose anchors they are")
        return
    if f"{stage.route}@1" not in networks:
        raise RecipeError(f'{where}.route: nothing is kept of "{stage.route}": give its stage keep: 4')
    kept = sum(name.startswith(f"{stage.route}@") for name in networks)
    if stage.anchors is not None and not (stage.anchors and set(stage.anchors) <= {*range(1, kept + 1)}):
        raise RecipeError(f"{where}.anchors must be numbers of the {kept} copies that are kept: 1 … {kept}")
    if stage.keep and stage.restart:
        raise RecipeError(f"{where}.keep: a route that restarts keeps no copies: give restart: false")


def check_stage(stage: StagePart, where: str, recipe: Recipe) -> None:
    """The numbers and words of a stage. Raises RecipeError."""
    if isinstance(stage.search, SearchPart):
        check_numbers(stage.search, f"{where}.search")
    check_numbers(stage, where)
    if not stage.turns:
        raise RecipeError(f"{where}.turns: nobody learns")
    if stage.items not in ("real", "set") or (stage.items == "set" and recipe.data.set is None):
        raise RecipeError(f'{where}.items must be real, or set where data.set names one; not "{stage.items}"')
    try:
        build_augmentation(stage.augment)
    except UserError as error:
        raise RecipeError(f"{where}.augment: {error}") from None


def check_rates(stage: StagePart, learner: str, where: str) -> None:
    """The optimiser and the schedule of a turn, tried before anything is trained. Raises RecipeError."""
    turn, rates = stage.turns[learner], choose_rates(stage, learner)
    keys = (f"{where}.turns.{learner}" if part else where for part in (turn.optimizer, turn.schedule))
    optimiser_key, schedule_key = keys
    optimiser = try_optimiser(rates.optimizer, stage.lr, f"{optimiser_key}.optimizer")
    try_schedule(rates.schedule, optimiser, stage.epochs, f"{schedule_key}.schedule")


def check_learner(learner: str, where: str, recipe: Recipe) -> None:
    """That the learner is a network that can learn. Raises RecipeError."""
    if learner not in recipe.networks:
        raise RecipeError(f"{where}.turns: " + unknown("network", learner, recipe.networks))
    if recipe.networks[learner].mean_of:
        raise RecipeError(f"{where}.turns: {learner} is an ensemble and never learns itself")
    if recipe.networks[learner].frozen is True:
        raise RecipeError(f"{where}.turns: networks.{learner}.frozen is true: leave its turn or frozen out")


def check_frozen(turn: TurnPart, where: str, network: Network) -> None:
    """The modules that do not learn, and that something is left that does. Raises RecipeError."""
    for key, paths in ((f"networks.{network.name}", network.frozen), (where, turn.frozen or ())):
        for path in paths:
            check_path(f"{key}.frozen", path, network)
    frozen = find_frozen(network, turn.frozen or ())
    weights = {id(w) for module in frozen for w in module.parameters()}
    if all(id(w) in weights for w in network.module.parameters()):
        raise RecipeError(f"{where}: all weights of {network.name} are frozen, and nothing is left to learn")


def check_rounding(stage: StagePart, where: str, network: Network) -> None:
    """With qat, layers to round, and a network that is measured so. Raises RecipeError."""
    if stage.qat and not find_layers(network.module):
        raise RecipeError(f"{where}.qat: {network.name} has no convolution of images and no linear layer")
    if stage.qat and not network.int8:
        raise RecipeError(
            f"{where}.qat: {network.name} would learn with eight bits and be measured without: give"
            f" networks.{network.name}.int8: true"
        )


def check_loss(part: LossPart, where: str, learner: Network, networks: Networks, recipe: Recipe) -> None:
    """One loss: its name, numbers, teacher, domain and taps. Raises RecipeError."""
    loss = find_loss(part.loss, f"{where}.loss")
    check_weight(part, where)
    check_temperature(part, where)
    check_teacher(part, where, loss, networks)
    if loss.tap and part.tap is None:
        raise RecipeError(f"{where}.tap is missing: the loss {part.loss} needs a module's path")
    if (part.layers is not None) != loss.layers or part.layers == []:
        raise RecipeError(f"{where}.layers: the teacher's modules for the loss aggregate, and for no other")
    check_domain(part, where, loss, recipe)
    check_taps(part, where, learner, networks)


def check_weight(part: LossPart, where: str) -> None:
    """The weight and its end, or its ramp. Raises RecipeError."""
    if isinstance(part.weight, RampPart):
        check_ramp(part.weight, f"{where}.weight")
        if part.until is not None:
            raise RecipeError(f"{where}.until: the weight has a ramp, whose end is its key to")
    ends = (
        () if isinstance(part.weight, RampPart) else (("weight", part.weight), ("until", part.until or 0.0))
    )
    for name, end in ends:
        if not end >= 0:
            raise RecipeError(f"{where}.{name} must be at least 0, not {end:g}")
    if part.bound is not None:
        check_bound(part, part.bound, where)


def check_temperature(part: LossPart, where: str) -> None:
    """A temperature above 0. Raises RecipeError."""
    if not part.tau > 0:
        raise RecipeError(f"{where}.tau, the temperature, must be above 0, not {part.tau:g}")


def check_bound(part: LossPart, bound: BoundPart, where: str) -> None:
    """A bound that is positive, of a weight that nothing else moves. Raises RecipeError."""
    check_numbers(bound, f"{where}.bound")
    if not bound.at_most > 0:
        raise RecipeError(f"{where}.bound.at_most must be above 0, not {bound.at_most:g}")
    if isinstance(part.weight, RampPart) or part.until is not None:
        raise RecipeError(f"{where}.bound: the weight is its multiplier, so give it no ramp and no until")


def check_teacher(part: LossPart, where: str, loss: KDLoss, networks: Networks) -> None:
    """A teacher that is known, for the losses that need one. Raises RecipeError."""
    if loss.teacher != (part.teacher is not None):
        needs = "needs a teacher" if loss.teacher else "takes no teacher"
        raise RecipeError(f"{where}: the loss {part.loss} {needs}")
    if part.teacher is not None and part.teacher not in networks:
        raise RecipeError(f"{where}.teacher: " + unknown("network", part.teacher, networks))


def check_domain(part: LossPart, where: str, loss: KDLoss, recipe: Recipe) -> None:
    """source, or target where there is one and no labels are needed. Raises RecipeError."""
    needs_target = part.domain == "target" or "target" in loss.takes
    if part.domain not in ("source", "target") or (needs_target and recipe.data.target is None):
        raise RecipeError(f"{where}.domain is source, or target where data.target names a set")
    if part.domain == "target" and loss.labels:
        raise RecipeError(f"{where}: the target has no labels, and {part.loss} needs them")


def check_taps(part: LossPart, where: str, learner: Network, networks: Networks) -> None:
    """The modules of the learner and of the teacher. Raises RecipeError."""
    check_path(f"{where}.tap", part.tap, learner)
    if part.teacher is None:
        return
    key = "layers" if part.layers else "teacher_tap" if part.teacher_tap else "tap"
    paths: list[str | None] = [*part.layers] if part.layers else [part.teacher_tap or part.tap]
    for path in paths:
        check_path(f"{where}.{key}", path, networks[part.teacher])


def check_path(where: str, path: str | None, network: Network) -> None:
    """That a path, if any, leads to a module of the network. Raises RecipeError."""
    try:
        _ = path is None or find_module(network.module, path)
    except NetworkError as error:
        raise RecipeError(f"{where}: in {network.name}: {error}") from None
