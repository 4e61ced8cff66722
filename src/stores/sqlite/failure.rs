//! What the driver's errors mean to a port.

use rusqlite::{Error, ErrorCode};

use super::STORE;
use crate::ports::StoreError;

/// The port's error for one of the driver's: values and constraints are the row's fault, all else the store's.
pub(super) fn store_error(error: &Error) -> StoreError {
    match error {
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..)
        | Error::InvalidColumnType(..) => bad_row(error.to_string()),
        Error::SqliteFailure(failure, _)
            if matches!(
                failure.code,
                ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig
            ) =>
        {
            bad_row(error.to_string())
        }
        _ => unavailable(error.to_string()),
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
