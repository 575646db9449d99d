"""Class names are drawn in a font that has all of their characters, and as numbers if this machine has none."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageDraw, features
from PIL.ImageFont import Layout

from made_fonts import damaged, write_font
from paretodet.media import fonts
from paretodet.media.draw import LabeledBox, draw
from paretodet.media.fonts import explained, is_drawable, lettering, undrawable

CAT, CAR = "猫", "汽车"
ASCII = "".join(map(chr, range(33, 127)))
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install(characters, name)` adds a font to a machine that has none."""
    monkeypatch.setattr(fonts, "FOLDERS", (str(tmp_path / "none"), str(tmp_path)))

    def clear() -> None:
        fonts._others.cache_clear()
        fonts._font.cache_clear()

    def add(characters: str, name: str) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_font(tmp_path / name, characters)
        clear()

    clear()
    yield add
    clear()


def file_of(name: str, number: int = 7) -> tuple[str, str | None]:
    """The text that is drawn, and the name of the file of its font; None for Pillow's."""
    text, font = lettering(name, number, 20)
    assert font.size == 20
    return text, Path(font.path).name if isinstance(font.path, str) else None


def test_a_name_that_pillow_has_is_drawn_in_its_font(install: Install) -> None:
    install(ASCII + CAT, "Sans.ttf")
    assert file_of("traffic light") == ("traffic light", None) and is_drawable("traffic light")


@pytest.mark.parametrize("name", [CAT, CAR, "Straße", "caf\u00e9", "кот", "\U0001f408", "a\udce9"])
def test_a_name_without_a_font_is_its_number(install: Install, name: str) -> None:
    assert file_of(name) == ("7", None) and not is_drawable(name)


def test_a_font_of_the_machine_draws_what_pillow_lacks(install: Install) -> None:
    install(ASCII + CAT, "deep/Sans.ttf")
    assert file_of(CAT) == (CAT, "Sans.ttf") and file_of(f"{CAT} (big)") == (f"{CAT} (big)", "Sans.ttf")
    assert file_of(CAR) == file_of(f"{CAT}{CAR}") == ("7", None)


def test_a_font_needs_every_character_and_the_digits_of_scores(install: Install) -> None:
    install(CAT, "A-Sans.ttf")
    install(ASCII + CAT + CAR[0], "B-Sans.ttf")
    assert file_of(CAT) == (CAT, "B-Sans.ttf") and file_of(CAR) == ("7", None)
    install(ASCII + CAR, "C-Sans.otf")
    assert file_of(CAR) == (CAR, "C-Sans.otf")


def test_plain_fonts_are_preferred(install: Install) -> None:
    for name in ("A-Sans-Bold.ttf", "ASerif.ttf", "B.ttf"):
        install(ASCII + CAT, name)
    assert file_of(CAT) == (CAT, "B.ttf")
    install(ASCII + CAT, "TheSans.ttf")
    assert file_of(CAT) == (CAT, "TheSans.ttf")


@pytest.mark.parametrize("name", ["LastResort.ttf", "AdobeBlank.otf"])
def test_fonts_of_placeholders_are_not_used(install: Install, name: str) -> None:
    install(ASCII + CAT, name)
    assert file_of(CAT) == ("7", None)


def test_a_damaged_font_is_not_used(install: Install, tmp_path: Path) -> None:
    (tmp_path / "A.ttf").write_bytes(b"\0\1\0\0 damaged")
    (tmp_path / "B.ttf").symlink_to("B.ttf")
    install(ASCII + CAT, "C.ttf")
    assert file_of(CAT) == (CAT, "C.ttf")


def test_a_font_with_a_damaged_shape_is_not_used(install: Install, tmp_path: Path) -> None:
    for name, characters in (("A-Sans.ttf", ASCII + CAT), ("B-Sans.ttf", ASCII + CAR)):
        install(characters, name)
        font = tmp_path / name
        font.write_bytes(damaged(font.read_bytes()))
    install(ASCII + CAT, "C.ttf")
    assert file_of(CAT) == (CAT, "C.ttf") and file_of(CAR) == ("7", None) and not is_drawable(CAR)


def test_an_accent_and_its_letter_are_one_character(install: Install) -> None:
    install(ASCII + "\u00e9", "Sans.ttf")
    assert file_of("cafe\u0301") == ("caf\u00e9", "Sans.ttf")


@pytest.mark.parametrize("name", ["قطة", "חתול", "बिल्ली", "a\u200b"])
def test_scripts_that_need_layout_are_drawn_with_it_alone(
    install: Install, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without it, letters stand apart or in the wrong order."""
    install(ASCII + name, "Sans.ttf")
    monkeypatch.setattr(features, "check", lambda feature: False)
    assert file_of(name) == ("7", None)
    fonts._font.cache_clear()
    fonts._sized.cache_clear()
    monkeypatch.setattr(features, "check", lambda feature: feature == "raqm")
    assert is_drawable(name)


@pytest.mark.skipif(not features.check("raqm"), reason="this Pillow has no Raqm")
def test_arabic_has_its_layout(install: Install) -> None:
    install(ASCII + "قطة", "Sans.ttf")
    assert lettering("قطة", 0, 20)[1].layout_engine == Layout.RAQM


def test_fonts_are_looked_for_once(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    walks = list[str]()

    def walk(top: str) -> list[tuple[str, list[str], list[str]]]:
        walks.append(top)
        return []

    monkeypatch.setattr("os.walk", walk)
    for name in (CAT, CAR, CAT, "кот"):
        assert file_of(name) == ("7", None)
    assert len(walks) == len(fonts.FOLDERS)


def test_the_number_is_drawn_with_the_score(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = list[str]()
    text = ImageDraw.ImageDraw.text

    def noted(pen: ImageDraw.ImageDraw, place: object, words: str, **more: object) -> None:
        drawn.append(words)
        text(pen, place, words, **more)  # type: ignore[arg-type]

    image = np.zeros((90, 90, 3), np.uint8)
    is_drawable(CAT)  # compares characters, which draws them
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    draw(image, [LabeledBox(label=CAT, score=0.5, box=(10, 40, 80, 80), number=3)])
    assert drawn == ["3 0.50"]
    install(ASCII + CAT, "Sans.ttf")
    is_drawable(CAT)
    drawn.clear()
    draw(image, [LabeledBox(label=CAT, score=0.5, box=(10, 40, 80, 80), number=3)])
    assert drawn == [f"{CAT} 0.50"]


def test_classes_whose_numbers_are_drawn_are_named(install: Install) -> None:
    install(ASCII + CAR, "Sans.ttf")
    assert undrawable([(0, "dog"), (3, CAT), (5, CAR)]) == {3: CAT}
    assert "3 = 猫." in explained({3: CAT})[0] and not explained({})
    many = explained(dict.fromkeys(range(8), CAT))[0]
    assert "5 = 猫 and 2 more" in many and "6 = " not in many
