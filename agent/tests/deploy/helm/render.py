"""What Helm makes of a chart: a JSON object of its templates' paths and texts.

Arguments: the chart's directory or archive, the values and the options of `render` as JSON. With --package, the chart is packaged
into the directory that follows, and the archive's path is printed.
"""

import json
import sys

import helm_python

chart, values, options = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
try:
    with helm_python.Chart.load(chart) as loaded:
        if sys.argv[4:5] == ["--package"]:
            print(json.dumps(loaded.save(sys.argv[5])))
        else:
            loaded.validate_schema(loaded.merge_values(values))
            print(json.dumps(loaded.render(values, **options)))
    report = helm_python.lint(chart, values, strict=True, namespace=options["namespace"])
    problems = [message for message in report["messages"] if message["severity"] > 1] + report["errors"]
    if problems:
        sys.exit(f"helm lint: {problems}")
except helm_python.HelmError as error:
    sys.exit(f"{type(error).__name__}: {error}")
