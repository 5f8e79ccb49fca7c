"""What the process imports that local workers are forked from, before the modules of the stages."""

import distributed  # noqa: F401

from pipelines.run.without_pandas import keep_pandas_out

keep_pandas_out()  # here and not in a worker: workers of a cluster are not ours alone
