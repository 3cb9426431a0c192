CREATE OR REPLACE EXTERNAL FUNCTION invoke_model(model_name VARCHAR, user_id VARCHAR, item_id VARCHAR)
  RETURNS VARIANT
  VOLATILE
  COMMENT = 'Predicted score, null where the user or the item is unknown'
  API_INTEGRATION = penchant_api
  MAX_BATCH_ROWS = 5000
  COMPRESSION = GZIP
  AS 'https://api.example.com/prod/snowflake/invoke_model';

CREATE OR REPLACE EXTERNAL FUNCTION invoke_model(model_name VARCHAR, user_id VARCHAR)
  RETURNS VARIANT
  VOLATILE
  COMMENT = 'The ten best items of a user, as an object'
  API_INTEGRATION = penchant_api
  MAX_BATCH_ROWS = 1000
  COMPRESSION = GZIP
  AS 'https://api.example.com/prod/snowflake/invoke_model';

CREATE OR REPLACE EXTERNAL FUNCTION invoke_model(model_name VARCHAR, user_id VARCHAR, options OBJECT)
  RETURNS VARIANT
  VOLATILE
  COMMENT = 'The best items of a user, with options: k'
  API_INTEGRATION = penchant_api
  MAX_BATCH_ROWS = 1000
  COMPRESSION = GZIP
  AS 'https://api.example.com/prod/snowflake/invoke_model';

CREATE OR REPLACE EXTERNAL FUNCTION deploy_model(name VARCHAR, artifact_path VARCHAR)
  RETURNS VARIANT
  VOLATILE
  COMMENT = 'Serves an artifact under a name and answers its version'
  API_INTEGRATION = penchant_api
  MAX_BATCH_ROWS = 1
  COMPRESSION = GZIP
  AS 'https://api.example.com/prod/snowflake/deploy_model';

CREATE OR REPLACE EXTERNAL FUNCTION train_and_get_recommendations(input_table VARCHAR, output_table VARCHAR, model VARCHAR, k NUMBER, user_col VARCHAR, item_col VARCHAR, value_col VARCHAR)
  RETURNS VARIANT
  VOLATILE
  COMMENT = 'Trains on a table and replaces another with the recommendations'
  API_INTEGRATION = penchant_api
  MAX_BATCH_ROWS = 1
  COMPRESSION = GZIP
  AS 'https://api.example.com/prod/snowflake/train_and_get_recommendations';

CREATE OR REPLACE EXTERNAL FUNCTION train_and_get_recommendations(input_table VARCHAR, output_table VARCHAR, model VARCHAR, k NUMBER, user_col VARCHAR, item_col VARCHAR, value_col VARCHAR, options OBJECT)
  RETURNS VARIANT
  VOLATILE
  COMMENT = 'The same, with options such as params, timestamp_col, exclude_seen'
  API_INTEGRATION = penchant_api
  MAX_BATCH_ROWS = 1
  COMPRESSION = GZIP
  AS 'https://api.example.com/prod/snowflake/train_and_get_recommendations';
