-- The tables of the system of record, for PostgreSQL 15 and later. Partitions of customer_identities, one a year, are
-- made beside this file: at a migration, at each start, daily, and by a writer that misses one.

CREATE TABLE customers (
    customer_id VARCHAR(64) PRIMARY KEY,
    last_seen   TIMESTAMPTZ NOT NULL,
    preferences JSONB DEFAULT '{}',
    created_at  TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_customers_last_seen ON customers (last_seen);

CREATE TABLE beacons (
    beacon_id     VARCHAR(36) PRIMARY KEY, -- lower case, with hyphens
    store_id      VARCHAR(64) NOT NULL,
    major         INT NOT NULL CHECK (major BETWEEN 0 AND 65535),
    minor         INT NOT NULL CHECK (minor BETWEEN 0 AND 65535),
    location      VARCHAR(32),
    status        VARCHAR(16) NOT NULL DEFAULT 'active'
                  CONSTRAINT valid_status CHECK (status IN ('active', 'inactive', 'maintenance')),
    updated_at    TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP,
    location_type VARCHAR(16)
);
CREATE INDEX idx_beacons_store_id ON beacons (store_id);
CREATE INDEX idx_beacons_status ON beacons (status);
CREATE INDEX idx_beacons_updated_at ON beacons (updated_at); -- asked every two seconds

-- The key has detected_at in it because a key of a partitioned table must have the columns it is partitioned by.
CREATE TABLE customer_identities (
    id          BIGSERIAL,
    customer_id VARCHAR(64) NOT NULL REFERENCES customers (customer_id),
    beacon_id   VARCHAR(36) NOT NULL REFERENCES beacons (beacon_id),
    location    VARCHAR(32),
    confidence  REAL NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    detected_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (id, detected_at)
) PARTITION BY RANGE (detected_at);
CREATE INDEX idx_customer_identities_customer_id ON customer_identities (customer_id);
CREATE INDEX idx_customer_identities_detected_at ON customer_identities (detected_at);
CREATE UNIQUE INDEX idx_customer_identities_unique ON customer_identities (customer_id, detected_at);

-- When each of a customer's preferences last changed; the values are in customers.preferences.
CREATE TABLE preference_changes (
    customer_id VARCHAR(64) NOT NULL REFERENCES customers (customer_id),
    key         TEXT NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (customer_id, key)
);

CREATE TABLE gateways (
    gateway_id VARCHAR(64) PRIMARY KEY,
    stores     TEXT[] NOT NULL DEFAULT '{}', -- the StoreIDs it may report; none when empty
    status     VARCHAR(16) NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    updated_at TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP
);

-- Beacons that are gone, kept for longer than any cache keeps a beacon, so that a poll sees deletions too.
CREATE TABLE beacon_deletions (
    beacon_id  VARCHAR(36) PRIMARY KEY,
    deleted_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX idx_beacon_deletions_deleted_at ON beacon_deletions (deleted_at);

-- A change moves updated_at to now, and always past what it was, so that of two versions the newer is known. Now is the
-- clock's, not the transaction's: the time of a change is never before its writer locked the table, which is what lets
-- a poll know how far back changes that are not committed yet may lie.
CREATE FUNCTION beacond_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.updated_at := clock_timestamp();
    ELSE
        NEW.updated_at := greatest(clock_timestamp(), OLD.updated_at + INTERVAL '1 microsecond');
    END IF;
    RETURN NEW;
END $$;

-- Tells of a changed beacon by its id. After the row, since an INSERT .. ON CONFLICT DO NOTHING changes none.
CREATE FUNCTION beacond_tell_beacon() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('beacond_beacons', NEW.beacon_id);
    RETURN NULL;
END $$;

-- Keeps the id of a beacon that is gone, or has another id now, and tells of it. With its owner's rights: whoever may
-- delete a beacon need not be granted anything on beacon_deletions.
CREATE FUNCTION beacond_keep_deletion() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER AS $$
BEGIN
    INSERT INTO beacon_deletions AS kept (beacon_id, deleted_at)
    VALUES (OLD.beacon_id, greatest(clock_timestamp(), OLD.updated_at + INTERVAL '1 microsecond'))
    ON CONFLICT (beacon_id) DO UPDATE
    SET deleted_at = greatest(excluded.deleted_at, kept.deleted_at + INTERVAL '1 microsecond');
    PERFORM pg_notify('beacond_beacons', OLD.beacon_id);
    RETURN NULL;
END $$;

-- Writers that check a batch's beacons as one set hold this lock shared (1650683492 is "bcnd"), so a beacon cannot go
-- between their check and their commit.
CREATE FUNCTION beacond_guard_beacons() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1650683492);
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO beacon_deletions AS kept (beacon_id, deleted_at)
        SELECT beacon_id, clock_timestamp() FROM beacons
        ON CONFLICT (beacon_id) DO UPDATE SET deleted_at = greatest(excluded.deleted_at, kept.deleted_at);
        PERFORM pg_notify('beacond_beacons', beacon_id) FROM beacons;
    END IF;
    RETURN NULL;
END $$;

-- The two with their owner's rights look for tables where they were made and nowhere before it: a caller's temporary
-- table of the same name would be handed those rights. Nor may anybody else attach them to a table.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION beacond_keep_deletion() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION beacond_guard_beacons() SET search_path = %I, pg_temp', current_schema());
END $$;
REVOKE EXECUTE ON FUNCTION beacond_keep_deletion(), beacond_guard_beacons() FROM PUBLIC;

CREATE TRIGGER beacons_stamp BEFORE INSERT OR UPDATE ON beacons
    FOR EACH ROW EXECUTE FUNCTION beacond_stamp();
CREATE TRIGGER beacons_tell AFTER INSERT OR UPDATE ON beacons
    FOR EACH ROW EXECUTE FUNCTION beacond_tell_beacon();
CREATE TRIGGER beacons_keep_deletion AFTER DELETE ON beacons
    FOR EACH ROW EXECUTE FUNCTION beacond_keep_deletion();
CREATE TRIGGER beacons_keep_renaming AFTER UPDATE OF beacon_id ON beacons
    FOR EACH ROW WHEN (OLD.beacon_id <> NEW.beacon_id) EXECUTE FUNCTION beacond_keep_deletion();
CREATE TRIGGER beacons_guard_deletion BEFORE DELETE OR TRUNCATE ON beacons
    FOR EACH STATEMENT EXECUTE FUNCTION beacond_guard_beacons();
CREATE TRIGGER beacons_guard_renaming BEFORE UPDATE OF beacon_id ON beacons
    FOR EACH STATEMENT EXECUTE FUNCTION beacond_guard_beacons();
CREATE TRIGGER gateways_stamp BEFORE INSERT OR UPDATE ON gateways
    FOR EACH ROW EXECUTE FUNCTION beacond_stamp();

-- Also for rows that a replication or a session in its role brings: caches must hear of them too.
ALTER TABLE beacons ENABLE ALWAYS TRIGGER beacons_stamp;
ALTER TABLE beacons ENABLE ALWAYS TRIGGER beacons_tell;
ALTER TABLE beacons ENABLE ALWAYS TRIGGER beacons_keep_deletion;
ALTER TABLE beacons ENABLE ALWAYS TRIGGER beacons_keep_renaming;
ALTER TABLE beacons ENABLE ALWAYS TRIGGER beacons_guard_deletion;
ALTER TABLE beacons ENABLE ALWAYS TRIGGER beacons_guard_renaming;
