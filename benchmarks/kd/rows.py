"""The rows of the table: whose score is compared with whose, in which recipe."""

from dataclasses import dataclass

PRIVILEGED = (
    "privileged teacher"  # how the name of a row begins whose teacher has items that its student lacks
)


@dataclass(frozen=True)
class Row:
    """`student` is meant to score higher than `over`; both are networks of the recipe.

    among: the networks of which the student is the best one on held-out items, where it was chosen so.
    """

    name: str
    recipe: str
    student: str
    over: str
    authors: str = "-"
    split: str = "test"  # or target: the test items of the other domain
    among: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name of the choice of its student in the record."""
        return f"{self.recipe}/{' '.join(self.among)}"


ROWS = [
    Row("distillation", "kd", "kd", "plain", "MNIST, 146 errors to 74 (Hinton 2015)"),
    Row(f"{PRIVILEGED}: distillation from ten times the data", "kd", "kd-privileged", "plain"),
    Row(
        "the gap: a smaller teacher over the largest",
        "takd",
        "kd16",
        "kd64",
        "gap at large teachers (Mirzadeh 2020)",
        among=("kd4", "kd8", "kd16", "kd32"),
    ),
    Row(
        "- the same at τ = 1",
        "takd",
        "hard16",
        "hard64",
        among=("hard4", "hard8", "hard16", "hard32"),
    ),
    Row(
        "teacher assistant of the best size",
        "takd",
        "ta16",
        "kd64",
        "CIFAR-10, +0.94 (Mirzadeh 2020)",
        among=("ta8", "ta16", "ta32"),
    ),
    Row("- a chain of two assistants over one", "takd", "chain2", "ta16", "more is better (Mirzadeh 2020)"),
    Row("- a chain of three assistants over two", "takd", "chain3", "chain2"),
    Row(
        "the gap by depth: fewer layers over ten",
        "takd-depth",
        "kd4",
        "kd10",
        "gap at deep teachers (Mirzadeh 2020)",
        among=("kd4", "kd6", "kd8"),
    ),
    Row("- the same at τ = 1, by depth", "takd-depth", "hard6", "hard10", among=("hard4", "hard6", "hard8")),
    Row("assistant of the best depth", "takd-depth", "ta4", "kd10", among=("ta4", "ta6", "ta8")),
    Row("- a chain of two assistants over one, by depth", "takd-depth", "chain2", "ta4"),
    Row("- a chain of three assistants over two, by depth", "takd-depth", "chain3", "chain2"),
    Row("- distillation of this student, from ten layers", "takd-depth", "kd10", "plain"),
    Row(
        "the gap by depth of ResNets: fewer layers over 26",
        "takd-resnet",
        "kd14",
        "kd26",
        "gap at deep teachers (Mirzadeh 2020)",
        among=("kd14", "kd20"),
    ),
    Row("- the same at τ = 1, ResNets", "takd-resnet", "hard14", "hard26", among=("hard14", "hard20")),
    Row("assistant of the best depth, ResNets", "takd-resnet", "ta14", "kd26", among=("ta14", "ta20")),
    Row("- a chain of two assistants over one, ResNets", "takd-resnet", "chain2", "ta14"),
    Row("- distillation of this ResNet, from 26 layers", "takd-resnet", "kd26", "plain"),
    Row("FitNets: hint, then distillation", "fitnets", "student", "kd", "better than KD (Romero 2015)"),
    Row("- by Adam", "fitnets", "student-adam", "kd-adam"),
    Row("- distillation of this student", "fitnets", "kd", "plain"),
    Row("weighted soft labels", "wsl", "student", "kd", "ImageNet, 69.75 to 72.04 (Zhou 2021)"),
    Row(
        "- all samples over those without the regularising",
        "wsl",
        "kd",
        "filtered",
        "regularising samples help (Zhou 2021)",
    ),
    Row("feature aggregation, over the mean", "dfa", "student", "mean", "better than its rivals (Guan 2020)"),
    Row("- over random weights of the layers", "dfa", "student", "random"),
    Row("- over the last layers (FitNets)", "dfa", "student", "last"),
    Row("- over attention transfer", "dfa", "student", "attention"),
    Row(
        "subclass distillation, its own loss", "subclass", "own", "kd", "gains with few labels (Müller 2020)"
    ),
    Row("- mutual information in its place", "subclass", "information", "kd"),
    Row("- subclass logits with neither", "subclass", "none", "kd"),
    Row("- its own loss over neither", "subclass", "own", "none"),
    Row(
        "route-constrained, over restarts",
        "rco",
        "student",
        "restarts",
        "CIFAR-100, +2.14 over KD (Jin 2019)",
    ),
    Row("- over plain distillation", "rco", "student", "kd"),
    Row("- the restarts over plain distillation", "rco", "restarts", "kd"),
    Row("- greedy anchors, over restarts", "rco", "greedy", "restarts"),
    Row("- one optimiser throughout, over plain distillation", "rco", "continued", "kd"),
    Row("ProKT, images", "prokt", "student", "kd", "better than KD (Shi 2021)"),
    Row("- over route-constrained", "prokt", "student", "rco", "better than RCO (Shi 2021)"),
    Row("- over mutual learning", "prokt", "student", "mutual", "better than DML (Shi 2021)"),
    Row("ProKT, text", "prokt-text", "student", "kd", "better than KD (Shi 2021)"),
    Row("- over route-constrained, text", "prokt-text", "student", "rco", "better than RCO (Shi 2021)"),
    Row("- over mutual learning, text", "prokt-text", "student", "mutual", "better than DML (Shi 2021)"),
    Row(
        "adaptation and distillation together, MNIST → USPS", "uda", "student", "adapt-distil", split="target"
    ),
    Row("- over distil, then adapt", "uda", "student", "distil-adapt", split="target"),
    Row("- over the source alone", "uda", "student", "plain", "best on Office31 (2020)", split="target"),
    Row("the same, USPS → MNIST", "uda-back", "student", "adapt-distil", split="target"),
    Row("- over distil, then adapt, USPS → MNIST", "uda-back", "student", "distil-adapt", split="target"),
    Row("- over the source alone, USPS → MNIST", "uda-back", "student", "plain", split="target"),
    Row(
        "attention transfer", "features", "attention", "plain", "CIFAR-10, better than plain (Zagoruyko 2017)"
    ),
    Row(
        "- from a teacher of twice the width",
        "attention",
        "student",
        "plain",
        "as above, WRN-16-2 to WRN-16-1",
    ),
    Row("relational distillation", "features", "relation", "plain", "better than plain (Park 2019)"),
    Row("- plain distillation of these networks", "features", "kd", "plain"),
    Row(
        "born-again, third generation",
        "self",
        "again3",
        "plain3",
        "CIFAR-100, better than its teacher (Furlanello 2018)",
    ),
    Row("- three generations together", "self", "generations", "plain3", "better still (Furlanello 2018)"),
    Row("- over as many plain twins together", "self", "generations", "twins"),
    Row("deep mutual learning", "self", "mutual0", "plain0", "CIFAR-100, better than alone (Zhang 2018)"),
    Row("quantisation-aware distillation, over training alone", "orthogonality-qat", "qat-kd", "qat"),
    Row("- over distillation, rounded afterwards", "orthogonality-qat", "qat-kd", "int8-kd"),
    Row("- quantisation-aware training, over rounding afterwards", "orthogonality-qat", "qat", "int8"),
    Row(
        "the best width and depth of twice the weights, over plain",
        "orthogonality-width",
        "wide",
        "plain",
        among=("wide", "deep1", "deep3", "deep4", "cone2", "cone3"),
    ),
    Row("subclass distillation of a table, its own loss", "subclass-table", "own", "kd"),
    Row("- mutual information in its place, table", "subclass-table", "information", "kd"),
    Row("- subclass logits with neither, table", "subclass-table", "none", "kd"),
    Row("- its own loss over neither, table", "subclass-table", "own", "none"),
]
