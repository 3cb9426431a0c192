"""The SageMaker container: ``penchant-sagemaker train`` and ``serve`` on an ``/opt/ml`` tree.

Any host that runs containers can call them; `penchant.jobs` runs ``train`` on this machine.
"""
