"""The statements that make Penchant's functions known to Snowflake."""

from __future__ import annotations

import re

from penchant.errors import ParameterError
from penchant.warehouse.tables import parse_name

__all__ = ["ddl"]

_URL = re.compile(r"https?://[^\s'\\?#]+")
# Name, arguments, rows a request may hold, comment.
_FUNCTIONS = (
    (
        "invoke_model",
        "model_name VARCHAR, user_id VARCHAR, item_id VARCHAR",
        5000,
        "Predicted score, null where the user or the item is unknown",
    ),
    (
        "invoke_model",
        "model_name VARCHAR, user_id VARCHAR",
        1000,
        "The ten best items of a user, as an object",
    ),
    (
        "invoke_model",
        "model_name VARCHAR, user_id VARCHAR, options OBJECT",
        1000,
        "The best items of a user, with options: k",
    ),
    (
        "deploy_model",
        "name VARCHAR, artifact_path VARCHAR",
        1,
        "Serves an artifact under a name and answers its version",
    ),
    (
        "train_and_get_recommendations",
        "input_table VARCHAR, output_table VARCHAR, model VARCHAR, k NUMBER, "
        "user_col VARCHAR, item_col VARCHAR, value_col VARCHAR",
        1,
        "Trains on a table and replaces another with the recommendations",
    ),
    (
        "train_and_get_recommendations",
        "input_table VARCHAR, output_table VARCHAR, model VARCHAR, k NUMBER, "
        "user_col VARCHAR, item_col VARCHAR, value_col VARCHAR, options OBJECT",
        1,
        "The same, with options such as params, timestamp_col, exclude_seen",
    ),
)


def ddl(base_url: str, api_integration: str, *, schema: str | None = None) -> str:
    """Write the ``CREATE EXTERNAL FUNCTION`` statements for Snowflake.

    Parameters
    ----------
    base_url : str
        Of the proxy service before the server, without a query: ``https://host/stage``.
        ``/snowflake/<function>`` is added.
    api_integration : str
        Name of the API integration that may call it.
    schema : str, optional
        Where the functions go: ``shop.public``. Default: the current one.

    Returns
    -------
    str
        Statements, each ended by a semicolon.

    Raises
    ------
    ParameterError
        The URL or a name cannot be written down in such a statement.

    Examples
    --------
    >>> print(ddl("https://example.com/prod", "penchant_api").partition(";")[0])
    CREATE OR REPLACE EXTERNAL FUNCTION invoke_model(model_name VARCHAR, user_id VARCHAR, \
item_id VARCHAR)
      RETURNS VARIANT
      VOLATILE
      COMMENT = 'Predicted score, null where the user or the item is unknown'
      API_INTEGRATION = penchant_api
      MAX_BATCH_ROWS = 5000
      COMPRESSION = GZIP
      AS 'https://example.com/prod/snowflake/invoke_model'

    In Snowflake, once they are run::

        SELECT train_and_get_recommendations(
            'shop.public.ratings', 'shop.public.recommendations', 'svd', 10,
            'user_id', 'item_id', 'rating');
        SELECT deploy_model('movies', '/srv/models/movies');
        SELECT user_id, item_id, invoke_model('movies', user_id, item_id)::FLOAT FROM pairs;
        SELECT invoke_model('movies', user_id, OBJECT_CONSTRUCT('k', 5)):items FROM users;
    """
    if not _URL.fullmatch(base_url):
        raise ParameterError(f"base_url must be such as https://host/stage, got {base_url!r}")
    integration = ".".join(parse_name(api_integration, "api_integration", parts=3))
    prefix = "" if schema is None else ".".join(parse_name(schema, "schema", parts=2)) + "."
    statements = (
        f"CREATE OR REPLACE EXTERNAL FUNCTION {prefix}{name}({arguments})\n"
        "  RETURNS VARIANT\n"
        "  VOLATILE\n"
        f"  COMMENT = '{comment}'\n"
        f"  API_INTEGRATION = {integration}\n"
        f"  MAX_BATCH_ROWS = {rows}\n"
        "  COMPRESSION = GZIP\n"
        f"  AS '{base_url.rstrip('/')}/snowflake/{name}';\n"
        for name, arguments, rows, comment in _FUNCTIONS
    )
    return "\n".join(statements)
