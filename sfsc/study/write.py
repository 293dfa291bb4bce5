"""Write what a study found next to its folder of units."""

from sfsc.files import InputError, replacing
from sfsc.study.figures import draw_verdicts
from sfsc.study.plan import Study
from sfsc.study.verdicts import as_page, as_table, decide, recorded


def write_verdicts(study: Study) -> None:
    """Write verdicts.csv, verdicts.md, verdicts.png and training.csv.

    Raises InputError where there is no unit yet.
    """
    folder, found = study.units.parent, decide(study)
    if not found:
        raise InputError(f"{study.units}: holds no unit yet; run `make study`")
    draw_verdicts(found, folder / "verdicts.png")
    for name, frame in (("verdicts", as_table(found)), ("training", recorded(study))):
        with replacing(folder / f"{name}.csv") as beside:
            frame.to_csv(beside, index=False)
    with replacing(folder / "verdicts.md") as beside:
        beside.write_text(as_page(study, found))
