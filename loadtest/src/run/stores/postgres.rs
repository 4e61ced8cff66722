//! PostgreSQL, read beside the daemon over a connection that is opened again when it is lost.

use std::fmt;

use tokio_postgres::Statement;

use super::{MINUTE_US, causes, customer_text};
use crate::postgres::{self, Link};
use crate::run::samples::Wanted;

const SEE: &str = "SELECT w.place FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS w (place, customer_id, at_us) \
    WHERE EXISTS (SELECT FROM customer_identities AS i WHERE i.customer_id = w.customer_id \
    AND i.detected_at > 'epoch'::timestamptz + (w.at_us - $4::bigint) * interval '1 microsecond' \
    AND i.detected_at < 'epoch'::timestamptz + (w.at_us + $4::bigint) * interval '1 microsecond')";
const LATEST: &str = "SELECT beacon_id, location, confidence, detected_at FROM customer_identities \
    WHERE customer_id = $1 ORDER BY detected_at DESC LIMIT 1";

/// A connection, and how to make another.
pub(crate) struct Postgres {
    url: String,
    session: Session,
}

struct Session {
    link: Link,
    see: Statement,
    latest: Statement,
}

impl Postgres {
    /// # Errors
    /// When it cannot be connected, or has not the daemon's schema.
    pub(super) async fn connect(url: &str) -> Result<Self, String> {
        Ok(Self { url: url.to_owned(), session: Session::open(url).await? })
    }

    pub(super) async fn version(&self) -> Result<String, String> {
        let row = self.session.link.client.query_one("SHOW server_version", &[]).await;
        row.and_then(|row| row.try_get(0)).map_err(causes)
    }

    /// Which of these are there.
    pub(super) async fn see(&mut self, wanted: &[impl AsRef<Wanted>]) -> Result<Vec<bool>, String> {
        self.reopen().await?;
        let places: Vec<i64> = (0..).take(wanted.len()).collect();
        let customers: Vec<_> = wanted.iter().map(|wanted| customer_text(wanted.as_ref().customer)).collect();
        let times: Vec<i64> = wanted.iter().map(|wanted| wanted.as_ref().detected_at_us).collect();
        let Session { link, see, .. } = &self.session;
        let rows = link.client.query(see, &[&places, &customers, &times, &MINUTE_US]).await;
        let mut seen = vec![false; wanted.len()];
        for row in rows.map_err(causes)? {
            let place = usize::try_from(row.try_get::<_, i64>(0).map_err(causes)?).unwrap_or(usize::MAX);
            if let Some(seen) = seen.get_mut(place) {
                *seen = true;
            }
        }
        Ok(seen)
    }

    /// Reads a customer's latest identity; whether there is one.
    pub(super) async fn latest(&mut self, customer: u32) -> Result<bool, String> {
        self.reopen().await?;
        let Session { link, latest, .. } = &self.session;
        let row = link.client.query_opt(latest, &[&customer_text(customer)]).await;
        Ok(row.map_err(causes)?.is_some())
    }

    async fn reopen(&mut self) -> Result<(), String> {
        if self.session.link.client.is_closed() {
            self.session = Session::open(&self.url).await?;
        }
        Ok(())
    }
}

impl Session {
    async fn open(url: &str) -> Result<Self, String> {
        let link = postgres::connect(url).await?;
        let see = link.client.prepare(SEE).await.map_err(causes)?;
        let latest = link.client.prepare(LATEST).await.map_err(causes)?;
        Ok(Self { link, see, latest })
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").finish_non_exhaustive()
    }
}
