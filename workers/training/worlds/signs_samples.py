"""The samples of the signs application, drawn: pictures, and what the job on each must end with.

`python -m workers.training.worlds.signs_samples` draws them anew over the ones that ship. Texts and places are those of
the drawing; translations are written here by hand.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from domain.applications.signs.contract import APPLICATION
from workers.training.worlds.signboards import Board, Weather, photograph

SIZE = (640, 480)
JPEG_QUALITY = 88


@dataclass(frozen=True)
class Plan:
    """A sample to be drawn: its boards, and for each line in turn what is expected besides its text and place."""

    name: str
    seed: int
    boards: tuple[Board, ...]
    expect: tuple[Mapping[str, Any], ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    weather: Weather = field(default_factory=Weather)


PLANS = (
    Plan(
        name="es-motorway",
        seed=101,
        boards=(
            Board(
                lines=(("SALIDA 23", 46), ("Toledo 120 km", 40)),
                ink=(245, 245, 245),
                ground=(18, 70, 150),
                turn=-3,
                tilt=0.12,
            ),
        ),
        expect=(
            {"translation": "EXIT 23", "provenance": "phrasebook", "phrase": "exit_n", "language": "es"},
            {"translation": "Toledo 120 km", "provenance": "phrasebook", "phrase": "keep_distance"},
        ),
    ),
    Plan(
        name="en-no-parking",
        seed=202,
        boards=(
            Board(
                lines=(("NO", 84), ("PARKING", 84)),
                ink=(190, 20, 30),
                ground=(250, 250, 245),
                turn=6,
                tilt=-0.15,
            ),
        ),
        expect=(
            {"translation": "PROHIBIDO", "provenance": "phrasebook", "phrase": "no_parking", "language": "en"},
            {"translation": "APARCAR", "provenance": "phrasebook", "phrase": "no_parking", "language": "en"},
        ),
        parameters={"target": "es"},
        weather=Weather(blur=1.2, noise=6),
    ),
    Plan(
        name="de-building-site",
        seed=303,
        boards=(
            Board(
                lines=(("Betreten der Baustelle", 32), ("verboten", 32)),
                ink=(20, 20, 20),
                ground=(245, 200, 30),
                place=(0.48, 0.32),
                turn=-8,
            ),
            Board(
                lines=(("Eltern haften für ihre Kinder", 26),),
                ink=(30, 30, 30),
                ground=(235, 235, 230),
                face="sans",
                place=(0.52, 0.72),
                turn=4,
            ),
        ),
        expect=(
            {
                "translation": "Construction site,",
                "provenance": "phrasebook",
                "phrase": "construction_site_no_entry",
            },
            {"translation": "no entry", "provenance": "phrasebook", "phrase": "construction_site_no_entry"},
            {
                "translation": "Parents are liable for their children",
                "provenance": "phrasebook",
                "phrase": "parents_liable",
                "language": "de",
            },
        ),
        weather=Weather(blur=0.8, noise=8, light=0.8),
    ),
    Plan(
        name="fr-way-out",
        seed=404,
        boards=(
            Board(
                lines=(("Sortie de secours", 50),),
                ink=(240, 250, 240),
                ground=(0, 120, 70),
                face="embedded",
                place=(0.5, 0.3),
                tilt=0.2,
            ),
            Board(
                lines=(("POUSSEZ", 54),),
                ink=(250, 250, 250),
                ground=(120, 30, 40),
                face="mono-bold",
                place=(0.5, 0.74),
                turn=-12,
            ),
        ),
        expect=(
            {"translation": "Notausgang", "provenance": "phrasebook", "phrase": "emergency_exit", "language": "fr"},
            {"translation": "DRÜCKEN", "provenance": "phrasebook", "phrase": "push", "language": "fr"},
        ),
        parameters={"target": "de"},
    ),
    Plan(
        name="pt-beach",
        seed=505,
        boards=(
            Board(
                lines=(("Praia da Rocha", 44), ("Proibido nadar", 44), ("Correntes perigosas", 36)),
                ink=(15, 40, 110),
                ground=(240, 240, 235),
                face="serif-bold",
                turn=10,
                tilt=-0.1,
            ),
        ),
        expect=(
            {"translation": "Rocha beach", "provenance": "phrasebook", "phrase": "beach_name", "language": "pt"},
            {"translation": "No swimming", "provenance": "phrasebook", "phrase": "no_swimming", "language": "pt"},
            {"translation": "Strong currents", "provenance": "phrasebook", "phrase": "strong_currents"},
        ),
        weather=Weather(blur=0.7, noise=5, light=1.1),
    ),
    Plan(
        name="es-tailor",
        seed=707,
        boards=(
            Board(
                lines=(("Sastrería cerrada el jueves", 34),),
                ink=(60, 30, 20),
                ground=(230, 215, 185),
                face="serif-bold",
                place=(0.5, 0.28),
                turn=-4,
                tilt=0.1,
            ),
            Board(
                lines=(("Zapatería, planta 3", 40),),
                ink=(250, 250, 250),
                ground=(40, 60, 110),
                place=(0.5, 0.74),
                turn=5,
            ),
        ),
        expect=(
            {"translation": "Tailor closed on Thursday", "provenance": "model", "model": "translator"},
            {"translation": "Shoe shop, floor 3", "provenance": "model", "model": "translator"},
        ),
        parameters={"source": "es", "target": "en"},
    ),
    Plan(
        name="nl-unknown",
        seed=606,
        boards=(
            Board(
                lines=(("Verboden toegang", 46), ("Molenaar en Zonen", 34)),
                ink=(250, 245, 225),
                ground=(70, 60, 50),
                turn=2,
                tilt=0.08,
            ),
        ),
        expect=(
            {"translation": None, "provenance": "untranslated"},
            {"translation": None, "provenance": "untranslated"},
        ),
    ),
)


def draw(plan: Plan, folder: Path) -> None:
    """Write a sample's picture and its JSON into a folder."""
    pixels, written = photograph(plan.boards, SIZE, plan.weather, plan.seed)
    image = f"{plan.name}.jpg"
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    cv2.imwrite(str(folder / image), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)
    regions = [{"text": line.text, "quad": line.quad, **told} for line, told in zip(written, plan.expect, strict=True)]
    sample = {
        "images": [image],
        "parameters": dict(plan.parameters),
        "expect": {"count": len(regions), "regions": regions},
    }
    text = json.dumps(sample, ensure_ascii=False, indent=2)
    (folder / f"{plan.name}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    for each in PLANS:
        draw(each, APPLICATION.samples)
