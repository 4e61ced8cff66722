//! What the driver's errors mean to a port, in words without the values of any row.

use std::error::Error as _;

use tokio_postgres::Error;

use super::STORE;
use crate::ports::StoreError;

/// The port's error for one of the driver's, when a question was asked.
pub(super) fn store_error(error: &Error) -> StoreError {
    unavailable(words(error))
}

/// What went wrong in one line. Of the server's words only the message and its SQLSTATE: DETAIL holds keys.
pub(super) fn words(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", error.message(), error.code().code());
    }
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The store cannot be asked, or not now.
pub(super) const fn unavailable(reason: String) -> StoreError {
    StoreError::Unavailable { store: STORE, reason }
}

/// A row breaks the model.
pub(super) const fn bad_row(reason: String) -> StoreError {
    StoreError::BadRow { store: STORE, reason }
}
