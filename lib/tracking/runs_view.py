"""How MLflow's page shows the runs of an experiment: a saved view with columns of the test's figures.

Saved views are tags of the experiment, as the page itself writes them under Views > Save as new view (MLflow 3.17). A
page that does not know them shows its own columns.
"""

import base64
import json
import zlib

from lib.evaluation.figures import COMPARED

KEY = "earshot"
"""Of the view, in its tag and in the page's address."""
NAME = "Test figures"
STATE = {
    "searchFilter": "",
    "orderByKey": "attributes.start_time",
    "orderByAsc": False,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    "selectedColumns": [f"metrics.`test/{name}`" for name in COMPARED],
    "columnOrder": [],
    "columnWidths": {},
    "runsHiddenMode": "FIRST_10_RUNS",
    "viewMaximized": False,
    "runListHidden": False,
    "isAccordionReordered": False,
    "useGroupedValuesInCharts": True,
    "hideEmptyCharts": True,
    "groupBy": None,
    "groupsExpanded": {},
    "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
}


def view_tags() -> dict[str, str]:
    """Tags of an experiment: the view, and the figure by which the page compares runs."""
    state = base64.b64encode(zlib.compress(json.dumps(STATE).encode())).decode()
    view = {"name": NAME, "createdAt": 0, "updatedAt": 0, "state": f"deflate;{state}"}
    return {
        f"mlflow.sharedViewState.{KEY}": json.dumps(view),
        "mlflow.experiment.primaryMetric.name": f"test/{COMPARED[0]}",
        "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
    }


def runs_address(experiment_id: str, server: str = "http://127.0.0.1:5000") -> str:
    """Address of the runs of an experiment with the view. The page opens on traces of language models otherwise."""
    return f"{server}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={KEY}"
