//! DynamoDB: the events.
