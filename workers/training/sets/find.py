"""From a path to the labelled set that lies there, whatever its form."""

from pathlib import Path

from domain.errors import InvalidRequest
from workers.training import coco
from workers.training.sets import coco_folder, lines, yolo_folder
from workers.training.sets.checking import checked
from workers.training.sets.labelled_set import LabelledSet

FORMS = (
    f"a folder with {coco.ANNOTATIONS} (COCO) and images/, a YOLO folder (data.yaml, or images/ and labels/), or a "
    f"file of labelled lines (.jsonl) with its pictures beside it"
)


def find(path: Path) -> LabelledSet:
    """Read the set at a path: a folder, a file of lines, or a folder that holds one such file.

    Of pictures with objects every header is read, every box and mask looked at. Raises InvalidRequest that names the
    file, the line where there is one, and what to do; ImageTooLarge on a picture that nothing could hold.
    """
    if not path.exists():
        raise InvalidRequest(f"{path} does not exist; a set is {FORMS}")
    if path.is_file():
        return _of_file(path)
    told = yolo_folder.description(path)
    described = told is not None or (path / yolo_folder.LABELS).is_dir()
    if (path / coco.ANNOTATIONS).is_file() or (coco_folder.parts(path) and not described):
        return checked(coco.read(path))
    if described:
        return yolo_folder.read(told or path)
    files = sorted(path.glob("*.jsonl"))
    if len(files) > 1:
        raise InvalidRequest(f"{path} holds several files of lines: {', '.join(one.name for one in files)}; name one")
    if not files:
        raise InvalidRequest(f"{path} holds no labels that can be read; a set is {FORMS}")
    return lines.read(files[0])


def _of_file(path: Path) -> LabelledSet:
    match path.suffix.lower():
        case ".jsonl":
            return lines.read(path)
        case ".json":
            return checked(coco.read(path))
        case ".yaml" | ".yml":
            return yolo_folder.read(path)
    raise InvalidRequest(f"{path} is no labelled set; a set is {FORMS}")
