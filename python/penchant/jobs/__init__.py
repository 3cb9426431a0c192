"""Training jobs on this machine: what a cloud's training job is, in a process of its own.

`train` runs ``penchant-sagemaker train``, the entry point of the container, on a tree under the
state directory (the environment's ``PENCHANT_HOME``, or ``~/.penchant``). A job goes on when the
notebook that started it ends, and `get` finds it again by its name.
"""

from penchant.jobs.job import Job
from penchant.jobs.starting import get, train
from penchant.jobs.starting import jobs as list
from penchant.jobs.transforming import Transformer

__all__ = ["Job", "Transformer", "get", "list", "train"]
