"""`paretodet doctor`."""

from dataclasses import asdict

import typer

from paretodet.cli import options
from paretodet.cli.output import print_json, show


def doctor(
    name: options.Name,
    weights: options.Weights = None,
    device: options.Device = None,
    precision: options.Precision = None,
    images: options.Images = None,
    json: options.Json = False,
) -> None:
    """Which law of measuring a guest breaks, in sentences. Exit status 1 where it breaks one."""
    from paretodet.bench.photographs import draw
    from paretodet.data.images import photographs
    from paretodet.doctor import examine, told
    from paretodet.open import open_candidate

    candidate = open_candidate(name, weights=weights, device=device, precision=precision)
    findings = []
    for finding in examine(candidate, photographs(images, limit=2).images or draw(seed=0, count=2)):
        findings.append(finding)
        if not json:
            show(told(finding))
    if json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.broken for finding in findings):
        raise typer.Exit(1)
