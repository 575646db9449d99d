"""`paretodet bugreport`."""

from pathlib import Path

from paretodet.cli import options
from paretodet.cli.output import note, print_json, show


def bugreport(
    out: options.BugReport = Path("paretodet-bugreport.json"),
    selftest: options.Selftest = False,
    store: options.Store = options.DEFAULT_STORE,
    json: options.Json = False,
) -> None:
    """One file to attach to an issue: versions, machine, self-test and the last run's rows; nothing personal."""
    from paretodet.report.bugreport import bug_report, check_free, contents, write_bug_report
    from paretodet.report.scrub import own_scrubber
    from paretodet.sweep.read import last_run
    from paretodet.writing import check_target

    check_target(out, "out", read=[Path(store)])
    check_free(out)
    found = bug_report(lambda: last_run(store), scrub=own_scrubber(), selftest=selftest)
    path = write_bug_report(found, out)
    note(contents(found))
    note("Host and user names, paths, addresses and the environment are taken out; names of your model files are not.")
    note("Look it over, then attach it to an issue in the project's issue tracker.")
    if json:
        print_json({"file": str(path), "rows": len(found["rows"]), "sections": list(found)})
    else:
        show(str(path))
