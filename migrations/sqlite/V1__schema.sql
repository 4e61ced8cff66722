-- The tables of the embedded store: names and columns are PostgreSQL's, and customer_events holds the DynamoDB items.
-- Times are UTC text YYYY-MM-DDTHH:MM:SS.ffffffZ, of one width, so that text order is time order.
-- VARCHAR(n) is TEXT with its length checked. customer_identities has no partitions: one file, one table.

PRAGMA application_id = 0x42434E44; -- "BCND"

CREATE TABLE customers (
    customer_id TEXT PRIMARY KEY NOT NULL CHECK (length(customer_id) <= 64),
    last_seen   TEXT NOT NULL,
    preferences TEXT DEFAULT '{}' CHECK (json_valid(preferences)),
    created_at  TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_customers_last_seen ON customers (last_seen);

CREATE TABLE beacons (
    beacon_id     TEXT PRIMARY KEY NOT NULL CHECK (length(beacon_id) <= 36),
    store_id      TEXT NOT NULL CHECK (length(store_id) <= 64),
    major         INTEGER NOT NULL CHECK (major BETWEEN 0 AND 65535),
    minor         INTEGER NOT NULL CHECK (minor BETWEEN 0 AND 65535),
    location      TEXT CHECK (length(location) <= 32),
    status        TEXT NOT NULL DEFAULT 'active'
                  CONSTRAINT valid_status CHECK (status IN ('active', 'inactive', 'maintenance')),
    updated_at    TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    location_type TEXT CHECK (length(location_type) <= 16)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_beacons_store_id ON beacons (store_id);
CREATE INDEX idx_beacons_status ON beacons (status);

-- An update moves updated_at to now, and always past what it was, so that no reader can miss a change.
CREATE TRIGGER beacons_updated_at AFTER UPDATE ON beacons
WHEN NEW.updated_at IS NULL OR NEW.updated_at <= OLD.updated_at
BEGIN
    UPDATE beacons
    SET updated_at = max(
        strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'),
        coalesce(
            iif(substr(OLD.updated_at, 21, 6) = '999999',
                strftime('%Y-%m-%dT%H:%M:%S.000000Z', substr(OLD.updated_at, 1, 19), '+1 second'),
                substr(OLD.updated_at, 1, 20) || printf('%06d', substr(OLD.updated_at, 21, 6) + 1) || 'Z'),
            ''))
    WHERE beacon_id = NEW.beacon_id;
END;

CREATE TABLE customer_identities (
    id          INTEGER PRIMARY KEY NOT NULL,
    customer_id TEXT NOT NULL CHECK (length(customer_id) <= 64) REFERENCES customers (customer_id),
    beacon_id   TEXT NOT NULL CHECK (length(beacon_id) <= 36) REFERENCES beacons (beacon_id),
    location    TEXT CHECK (length(location) <= 32),
    confidence  REAL NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    detected_at TEXT NOT NULL
) STRICT;
CREATE INDEX idx_customer_identities_customer_id ON customer_identities (customer_id);
CREATE INDEX idx_customer_identities_detected_at ON customer_identities (detected_at);
CREATE UNIQUE INDEX idx_customer_identities_unique ON customer_identities (customer_id, detected_at);

-- The key begins with the time, so that new items go to the end of the table; with CustomerID first each item went
-- to a page of its own, and a batch took 1.6 times as long. One customer's times are in customer_identities.
CREATE TABLE customer_events (
    CustomerID TEXT NOT NULL,
    DetectedAt TEXT NOT NULL,
    Location   TEXT,
    Confidence REAL NOT NULL,
    BeaconID   TEXT NOT NULL,
    ExpiresAt  INTEGER NOT NULL, -- seconds since the Unix epoch
    PRIMARY KEY (DetectedAt, CustomerID)
) STRICT, WITHOUT ROWID;
CREATE INDEX DetectedAtIndex ON customer_events (DetectedAt);

-- When each of a customer's preferences last changed; the values are in customers.preferences.
CREATE TABLE preference_changes (
    customer_id TEXT NOT NULL REFERENCES customers (customer_id),
    key         TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    PRIMARY KEY (customer_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE gateways (
    gateway_id TEXT PRIMARY KEY NOT NULL CHECK (length(gateway_id) <= 64),
    stores     TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(stores)), -- JSON array of StoreIDs
    status     TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT, WITHOUT ROWID;

-- The number of the last batch each writer committed, written with the batch itself: what answers whether a
-- COMMIT that ended in doubt took place. Rows of a batch cannot tell, since an earlier copy may have made them.
CREATE TABLE write_marks (
    writer       TEXT PRIMARY KEY NOT NULL,
    batch_number INTEGER NOT NULL
) STRICT;
