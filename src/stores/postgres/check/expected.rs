//! What the check looks for: the columns, indexes, triggers and rights that the daemon relies on.

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) table: &'static str,
    pub(super) column: &'static str,
    /// As `format_type` writes it.
    pub(super) kind: &'static str,
    pub(super) not_null: bool,
}

/// An index.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) name: &'static str,
    pub(super) table: &'static str,
    pub(super) unique: bool,
    pub(super) columns: &'static [&'static str],
}

const fn column(table: &'static str, column: &'static str, kind: &'static str) -> Column {
    Column { table, column, kind, not_null: true }
}

const fn nullable(table: &'static str, column: &'static str, kind: &'static str) -> Column {
    Column { table, column, kind, not_null: false }
}

const fn index(
    name: &'static str,
    table: &'static str,
    unique: bool,
    columns: &'static [&'static str],
) -> Index {
    Index { name, table, unique, columns }
}

const TIME: &str = "timestamp with time zone";

pub(super) const COLUMNS: &[Column] = &[
    column("customers", "customer_id", "character varying(64)"),
    column("customers", "last_seen", TIME),
    nullable("customers", "preferences", "jsonb"),
    nullable("customers", "created_at", TIME),
    column("beacons", "beacon_id", "character varying(36)"),
    column("beacons", "store_id", "character varying(64)"),
    column("beacons", "major", "integer"),
    column("beacons", "minor", "integer"),
    nullable("beacons", "location", "character varying(32)"),
    column("beacons", "status", "character varying(16)"),
    nullable("beacons", "updated_at", TIME),
    nullable("beacons", "location_type", "character varying(16)"),
    column("customer_identities", "id", "bigint"),
    column("customer_identities", "customer_id", "character varying(64)"),
    column("customer_identities", "beacon_id", "character varying(36)"),
    nullable("customer_identities", "location", "character varying(32)"),
    column("customer_identities", "confidence", "real"),
    column("customer_identities", "detected_at", TIME),
    column("preference_changes", "customer_id", "character varying(64)"),
    column("preference_changes", "key", "text"),
    column("preference_changes", "updated_at", TIME),
    column("gateways", "gateway_id", "character varying(64)"),
    column("gateways", "stores", "text[]"),
    column("gateways", "status", "character varying(16)"),
    nullable("gateways", "updated_at", TIME),
    column("beacon_deletions", "beacon_id", "character varying(36)"),
    column("beacon_deletions", "deleted_at", TIME),
];

pub(super) const INDEXES: &[Index] = &[
    index("customers_pkey", "customers", true, &["customer_id"]),
    index("idx_customers_last_seen", "customers", false, &["last_seen"]),
    index("beacons_pkey", "beacons", true, &["beacon_id"]),
    index("idx_beacons_store_id", "beacons", false, &["store_id"]),
    index("idx_beacons_status", "beacons", false, &["status"]),
    index("idx_beacons_updated_at", "beacons", false, &["updated_at"]),
    index("customer_identities_pkey", "customer_identities", true, &["id", "detected_at"]),
    index("idx_customer_identities_customer_id", "customer_identities", false, &["customer_id"]),
    index("idx_customer_identities_detected_at", "customer_identities", false, &["detected_at"]),
    index("idx_customer_identities_unique", "customer_identities", true, &["customer_id", "detected_at"]),
    index("preference_changes_pkey", "preference_changes", true, &["customer_id", "key"]),
    index("gateways_pkey", "gateways", true, &["gateway_id"]),
    index("beacon_deletions_pkey", "beacon_deletions", true, &["beacon_id"]),
    index("idx_beacon_deletions_deleted_at", "beacon_deletions", false, &["deleted_at"]),
];

pub(super) const TRIGGERS: &[&str] = &[
    "beacons_stamp",
    "beacons_tell",
    "beacons_keep_deletion",
    "beacons_keep_renaming",
    "beacons_guard_deletion",
    "beacons_guard_renaming",
    "gateways_stamp",
];

/// Triggers that must fire in every session, whatever its role.
pub(super) const GUARDS: &[&str] = &["beacons_guard_deletion", "beacons_guard_renaming"];

/// What a running daemon does to tables.
pub(super) const RIGHTS: &[(&str, &str)] = &[
    ("customers", "SELECT"),
    ("customers", "INSERT"),
    ("customers", "UPDATE"),
    ("customer_identities", "SELECT"),
    ("customer_identities", "INSERT"),
    ("preference_changes", "SELECT"),
    ("preference_changes", "INSERT"),
    ("preference_changes", "UPDATE"),
    ("beacons", "SELECT"),
    ("gateways", "SELECT"),
    ("beacon_deletions", "SELECT"),
    ("beacon_deletions", "DELETE"),
];

/// What imports do besides.
pub(super) const OPTIONAL_RIGHTS: &[(&str, &str)] =
    &[("beacons", "INSERT"), ("beacons", "UPDATE"), ("gateways", "INSERT"), ("gateways", "UPDATE")];
