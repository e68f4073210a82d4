"""What TensorBoard and its HParams plugin find in a folder of runs, as JSON. usage: read_tensorboard.py DIR"""
import json, sys

from tensorboard.backend.event_processing import data_provider, plugin_event_accumulator, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups

multiplexer = plugin_event_multiplexer.EventMultiplexer(
    size_guidance={plugin_event_accumulator.TENSORS: 0}, tensor_size_guidance={"scalars": 0, "text": 0}
)
multiplexer.AddRunsFromDirectory(sys.argv[1])
multiplexer.Reload()
provider = data_provider.MultiplexerDataProvider(multiplexer, sys.argv[1])

runs = {}
for name in multiplexer.Runs():
    run = runs[name] = {"scalars": {}, "text": {}}
    for tag in multiplexer.Runs()[name]["tensors"]:
        plugin = multiplexer.SummaryMetadata(name, tag).plugin_data.plugin_name
        for event in multiplexer.Tensors(name, tag):
            if plugin == "scalars":
                value = float(event.tensor_proto.float_val[0]) if event.tensor_proto.float_val else None
                if value is None:
                    from tensorboard.util import tensor_util
                    value = float(tensor_util.make_ndarray(event.tensor_proto))
                run["scalars"].setdefault(tag, []).append({"step": event.step, "wall_time": event.wall_time, "value": value})
            elif plugin == "text":
                run["text"][tag] = event.tensor_proto.string_val[0].decode()

context = backend_context.Context(base_plugin.TBContext(data_provider=provider, logdir=sys.argv[1]))
request_context = RequestContext()
experiment = get_experiment.Handler(request_context, context, "", api_pb2.GetExperimentRequest()).run()
request = api_pb2.ListSessionGroupsRequest(
    start_index=0,
    slice_size=1000,
    allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING, api_pb2.STATUS_UNKNOWN],
    col_params=[api_pb2.ColParams(metric=info.name) for info in experiment.metric_infos],
)
groups = list_session_groups.Handler(request_context, context, "", request).run()


def plain(value):
    return getattr(value, value.WhichOneof("kind"))


sessions = {}
for group in groups.session_groups:
    (session,) = group.sessions
    sessions[session.name] = {
        "status": api_pb2.Status.Name(session.status),
        "hparams": {key: plain(value) for key, value in group.hparams.items()},
        "metrics": {metric.name.tag: metric.value for metric in session.metric_values},
    }
print(json.dumps({
    "runs": runs,
    "hparams": {"name": experiment.name, "hparams": [info.name for info in experiment.hparam_infos]},
    "sessions": sessions,
}))
