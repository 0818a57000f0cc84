"""resolve(): settings with every default filled in and every word and number checked; and what a run is."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from distill.data import AUGMENTATIONS, IMAGE_CHANGES
from distill.errors import RunError, UserError, unknown
from distill.inner.engines import ENGINES
from distill.methods import METHODS
from distill.outer.parametrisations import PARAMETRISATIONS
from distill.registry import Entry, check_effects, check_options, check_value, flag, load, options_of
from distill.runs.files.fingerprint import KEY as FINGERPRINT
from distill.runs.settings import Settings, TextData
from distill.runs.settings.automatic import pick_method
from distill.runs.settings.defaults.table import DEFAULTS, METHOD, Default
from distill.runs.settings.outer import AUTO_METHOD
from distill.runs.settings.situation import (
    SQUARED,
    Situation,
    count_items,
    is_brief,
    is_timed,
    parametrisation_of,
)
from distill.sets.plain_types import describe_type, has_type

if TYPE_CHECKING:
    from distill.sets.distilled import DistilledSet

S = TypeVar("S", bound=Settings)
COUNTED = ("min_horizon", "max_horizon", "pool_steps")  # options of a method on which defaults depend
RATES = ("lr_per", "lr_profile", "lr_lr_scale")  # settings that only methods that learn rates have


def resolve(settings: S, saved: "DistilledSet | None" = None) -> S:
    """The settings with every default filled in, and every word and number checked. Raises UserError.

    Where --ipc has not become --n yet, by set_ipc(), they are good for loading data: n may be another.
    saved: the set to go on from, where it is not read from the file of settings.outer.start.
    """
    check(settings)
    check_plug_in("parametrisation", PARAMETRISATIONS, *parametrisation_of(settings))
    if settings.outer.method == AUTO_METHOD:
        settings = change(settings, "outer", method=pick_method(settings, describe_start(settings)))
    knows_n = settings.data.ipc is None or settings.data.n is not None
    if settings.data.n is None:
        settings = change(settings, "data", n=settings.n_default)
    start = describe_start(settings, saved)
    for default in DEFAULTS:
        settings = fill_in(settings, default, start)
    check_effects(settings, settings.run.given)  # once more: the labels are known now
    if settings.run.out is None:
        settings = change(settings, "run", out=default_folder(settings))
    if settings.data.read_out == "nearest" and settings.data.labels == "soft":
        raise UserError(
            "--read-out nearest needs labels that are shares, for any network: give --labels softmax, or"
            " --init random"
        )
    if knows_n:
        check_batch(settings)
        check_plug_ins(settings)
    return settings


def fill_in(settings: S, default: Default, start: str) -> S:
    """The settings with one default, where its setting has no value; start as of describe_start()."""
    if default.part == METHOD:
        return fill_in_option(settings, default, start)
    part = getattr(settings, default.part)
    if not hasattr(part, default.name) or getattr(part, default.name) is not None:
        return settings
    value = settings.overrides().get(default.name, default.value(situation_of(settings, start)))
    return change(settings, default.part, **{default.name: value})


def fill_in_option(settings: S, default: Default, start: str) -> S:
    """The settings with the default of an option of their method; a resumed run has what it started with."""
    options, names = settings.outer.method_options, options_of(load(METHODS[settings.outer.method]))
    if settings.run.resume is not None or options.get(default.name) is not None:
        return settings
    value = default.value(situation_of(settings, start))
    if value is None or default.name not in {field.name for field in names}:
        return settings
    return change(settings, "outer", method_options={**options, default.name: value})


def describe_start(settings: Settings, saved: "DistilledSet | None" = None) -> str:
    """What the labels of a set to go on from are, where that decides: regression, shares or signed, or ""."""
    path, is_file = settings.outer.start, (settings.outer.start or "").endswith(".pt")
    if settings.data.labels is not None or not (is_file or saved):
        return ""
    from distill.sets.distilled import DistilledSet  # torch, which --help does without

    data = saved or DistilledSet.load(str(path))
    if data.inner["loss"] == SQUARED:
        return "regression"
    return "shares" if bool((data.labels >= 0).all()) else "signed"


def set_ipc(settings: S, classes: int) -> S:
    """The settings with n = ipc · classes, where --ipc is given. Raises UserError."""
    if settings.data.ipc is None:
        return settings
    n = settings.data.ipc * classes
    if settings.data.n not in (None, n):
        raise UserError(
            f"--ipc {settings.data.ipc} means {n} items of {classes} classes: leave out --n {settings.data.n}"
        )
    return change(settings, "data", n=n)


def situation_of(settings: Settings, start: str = "") -> Situation:
    data, options = settings.data, settings.outer.method_options
    text, method = isinstance(data, TextData), load(METHODS[settings.outer.method])
    counts: dict[str, Any] = {n: options[n] for n in COUNTED if isinstance(options.get(n), int)}
    bundled = isinstance(data, TextData) and data.dataset == "sentences" and not data.train
    n = count_items(settings.data.n, *parametrisation_of(settings))
    return Situation(
        n=n, text=text, encoded=data.encoder is not None,
        fixed=settings.as_fixed or settings.network.init == "fixed",
        convnet=settings.network.network == "convnet", network=settings.network.network or "",
        bundled=bundled, limited=is_timed(settings.run),
        brief=is_brief(settings.run) and not settings.as_fixed,
        unrolls=method.unrolls, by_class=method.matches_classes, method=settings.outer.method,
        fixed_items=settings.outer.fixed_items,
        rule=settings.inner.rule or "", inner_steps=settings.inner.inner_steps or 0,
        lr_per=settings.inner.lr_per or "",
        trained=settings.network.weights is not None,
        mnist=settings.data.origin == "mnist",
        labels=settings.data.labels or "", start=start, inner_loss=str(options.get("inner_loss") or ""),
        **counts,
    )  # fmt: skip


def default_folder(settings: Settings) -> str:
    """runs/DATASET-nN-INIT-LABELS-sSEED; DATASET-PARAMETRISATION where it is not pixels."""
    data, run, word = settings.data, settings.run, settings.outer.parametrisation
    stem = Path(data.origin).name.split(".")[0] + (f"-{word}" if word != "pixels" else "")
    return f"runs/{stem}-n{data.n}-{settings.network.init}-{data.labels}-s{run.seed}"


def change(settings: S, part: str, **values: Any) -> S:
    """The settings with other values in one part."""
    changes: dict[str, Any] = {part: replace(getattr(settings, part), **values)}
    return replace(settings, **changes)


def all_options(settings: Settings) -> Iterator[tuple[Any, Any]]:
    """(field, value) of every option."""
    for part in parts_of(settings):
        for field in options_of(part):
            yield field, getattr(part, field.name)


def check(settings: Settings) -> None:
    """Raise UserError for the first word or number that is not possible, or option that has no effect."""
    check_options(settings)
    check_effects(settings, settings.run.given)
    if settings.run.minutes is not None and settings.run.distil_minutes is not None:
        raise UserError("--minutes and --distil-minutes both limit the time: leave one of them out")
    check_augment("--augment", settings.outer.augment, isinstance(settings.data, TextData))
    pool_augment = str(settings.outer.method_options.get("pool_augment") or "")
    for words in pool_augment.split(","):
        check_augment("--pool-augment", "" if words == "none" else words, text=False)


def check_batch(settings: Settings) -> None:
    """Raise UserError where the inner batch does not divide the number of items."""
    n, batch = settings.data.n, settings.inner.batch
    if (m := count_items(n, *parametrisation_of(settings))) % batch:
        decoded = "" if m == n else f" images, which decode to {m}"
        raise UserError(f"--batch {batch} does not divide --n {n}{decoded}: choose a divisor")


def check_plug_ins(settings: Settings) -> None:
    """Raise UserError for options that the method or engine has not, or values that they cannot have."""
    outer, inner = settings.outer, settings.inner
    check_plug_in("method", METHODS, outer.method, outer.method_options)
    if (method := load(METHODS[outer.method])).unrolls:
        check_plug_in("engine", ENGINES, str(inner.engine), inner.engine_options)
        return
    rates = () if method.learns_rates else RATES
    given = [*inner.engine_options, *(name for name in rates if name in settings.run.given)]
    if given or inner.engine is not None:
        name = (given or ["engine"])[0]
        raise UserError(f"{flag(name)} is for methods that unroll: leave it out, or use --method unroll")


def check_plug_in(plug_in: str, table: Mapping[str, Entry], word: str, options: Mapping[str, Any]) -> None:
    """Raise UserError where an option belongs to another method or engine, or its value is not possible."""
    selected = load(table[word])
    fields_by_name = {field.name: field for field in options_of(selected)}
    for name, value in options.items():
        if name not in fields_by_name:
            owners = [w for w in table if name in {f.name for f in options_of(load(table[w]))}]
            raise UserError(
                f"{flag(name)} is an option of --{plug_in} {' and '.join(owners) or '(none)'}; this run has"
                f" --{plug_in} {word}"
            )
        check_value(selected, fields_by_name[name], value)


def check_augment(name: str, augment: str, text: bool) -> None:
    for word in augment.split("-") if augment else ():
        if text:
            raise UserError(f"{name}: it is for images")
        if word not in AUGMENTATIONS | IMAGE_CHANGES:
            raise UserError(f"{name}: {unknown('augmentation', word, AUGMENTATIONS | IMAGE_CHANGES)}")


def identity(settings: Settings) -> dict[str, Any]:
    """What makes two runs the same run: every setting but where it is written and by how many threads."""
    return {
        field.name: getattr(part, field.name)
        for part in parts_of(settings)
        for field in fields(part)
        if field.metadata.get("identity", True)
    }


def parts_of(settings: Settings) -> list[Any]:
    """The parts of the settings in their order."""
    return [getattr(settings, field.name) for field in fields(settings)]


def resume(settings: S, saved: Mapping[str, Any]) -> S:
    """The saved settings of the run to go on with. Raises RunError where the command asks for others."""
    folder, default = settings.run.resume, identity(type(settings)())
    saved = {name: value for name, value in saved.items() if name != FINGERPRINT}
    check_form(settings, saved)
    for name, value in identity(settings).items():
        if isinstance(value, dict):  # options of a method or an engine: only those of the command
            asked = [(word, value[word], saved[name].get(word)) for word in value]
        else:
            is_asked = value != default[name] or name in settings.run.given
            asked = [] if not is_asked else [(settings.flags.get(name, name), value, saved[name])]
        for word, new, old in asked:
            if new != old:
                started = f"without {flag(word)}" if old is None else f"with {flag(word)} {old}"
                raise RunError(f"{folder} was started {started}, not {new}: a resumed run keeps its settings")
    changes: dict[str, Any] = {}
    for field in fields(settings):
        part = getattr(settings, field.name)
        values = {f.name: saved[f.name] for f in fields(part) if f.name in saved}
        changes[field.name] = replace(part, **values)
    changes["run"] = replace(changes["run"], out=str(folder))
    return resolve(replace(settings, **changes))


def check_form(settings: Settings, saved: Mapping[str, Any]) -> None:
    """Raise RunError where a config.json does not hold the settings of this kind of job."""
    folder = settings.run.resume
    if saved.keys() != identity(settings).keys():
        raise RunError(f"{folder}/config.json is of another version or kind of job: start the run anew")
    for part in parts_of(settings):
        for name, annotation in get_type_hints(type(part)).items():
            if name in saved and not has_type(saved[name], annotation):
                raise RunError(f"{folder}/config.json is damaged: {name} is not {describe_type(annotation)}")
    if saved["n"] is None:
        raise RunError(f"{folder}/config.json is damaged: n is not int")
