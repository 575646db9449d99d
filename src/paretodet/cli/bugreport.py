"""`paretodet bugreport`."""

from pathlib import Path

from paretodet.cli import measuring_options, options
from paretodet.cli.output import note, print_json, show


def bugreport(
    out: options.Out = Path("paretodet-bugreport.json"),
    selftest: measuring_options.Selftest = False,
    store: options.Store = options.DEFAULT_STORE,
    json: options.Json = False,
) -> None:
    """Write a file to attach to an issue: versions, machine, self-test and the rows of the last run.

    It contains no personal data.
    """
    from paretodet.report.bugreport import bug_report, check_free, contents, write_bug_report
    from paretodet.report.scrub import own_scrubber
    from paretodet.sweep.read import last_run
    from paretodet.writing import check_target

    check_target(out, "out", read=[Path(store)])
    check_free(out)
    report = bug_report(lambda: last_run(store), scrub=own_scrubber(), selftest=selftest)
    path = write_bug_report(report, out)
    note(contents(report))
    note("Names of hosts and users, paths, addresses and the environment are removed; names of model files are not.")
    note("Read the file, then attach it to an issue in the issue tracker of the project.")
    if json:
        print_json({"file": str(path), "rows": len(report["rows"]), "sections": list(report)})
    else:
        show(str(path))
