"""``python -m penchant.container``: the same as ``penchant-sagemaker``."""

from penchant.container.command import main

if __name__ == "__main__":
    main()
