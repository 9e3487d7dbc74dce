use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables(manager.get_database_backend()) {
            manager.create_table(table).await?;
        }
        for (table, columns, unique) in INDEXES {
            let name = format!("{table}_{}", columns.join("_"));
            let mut index = Index::create();
            index.name(name).table(*table);
            for column in *columns {
                index.col(*column);
            }
            if *unique {
                index.unique();
            }
            manager.create_index(index).await?;
        }
        let first = Query::insert()
            .into_table("catalogue_clock")
            .columns(["id", "revision"])
            .values_panic([1.into(), 0.into()])
            .to_owned();
        manager.execute(first).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// A column: name, type, whether it may be NULL.
type Column = (&'static str, Type, bool);

#[derive(Clone, Copy)]
enum Type {
    Text,
    Int,
    Int64,
    Bool,
    Uuid,
    Bytes,
    Sequence,
}

fn table(
    backend: DbBackend,
    name: &'static str,
    columns: &[Column],
    key: &[&'static str],
) -> TableCreateStatement {
    use Type::{Bool, Bytes, Int, Int64, Sequence, Text, Uuid};
    let mut table = Table::create();
    table.table(name);
    for (name, kind, nullable) in columns {
        let mut column = ColumnDef::new(*name);
        match kind {
            // Lists are ordered by IDs and continued after one: by bytes, whatever the database's locale.
            Text if backend == DbBackend::Postgres => column.text().extra("COLLATE \"C\""),
            Text => column.text(),
            Int => column.integer(),
            Int64 => column.big_integer(),
            Bool => column.boolean(),
            Uuid => column.uuid(),
            Bytes => column.blob(),
            Sequence => column.big_integer().auto_increment().primary_key(),
        };
        if !nullable {
            column.not_null();
        }
        table.col(column);
    }
    if !key.is_empty() {
        let mut primary = Index::create();
        for column in key {
            primary.col(*column);
        }
        table.primary_key(&mut primary);
    }
    table.take()
}

/// Table, columns, unique.
const INDEXES: &[(&str, &[&str], bool)] = &[
    ("affiliate_email", &["hash"], false),
    ("suspension", &["programme", "affiliate"], false),
    ("product", &["programme"], false),
    ("product_external_id", &["product"], false),
    ("webinar_product", &["product"], false),
    ("attendee", &["webinar", "id"], false),
    ("attendee_email", &["hash"], false),
    ("attendee_email", &["attendee"], false),
    ("registration", &["source", "external_webinar", "external_id"], true),
    ("registration", &["attendee"], false),
    ("touch", &["origin"], true),
    ("touch", &["attendee"], false),
    ("touch", &["sale_order"], false),
    ("touch", &["programme", "affiliate"], false),
    ("click", &["product", "id"], false),
    ("click_claim", &["attendee"], false),
    ("sale_order", &["source", "external_id"], true),
    ("sale_order", &["source", "parent_external_id"], false),
    ("sale_order", &["token_attendee"], false),
    ("sale_order", &["click"], false),
    (
        "sale_order",
        &["registration_source", "registration_external_webinar", "registration_external_id"],
        false,
    ),
    ("sale_order", &["programme", "coupon"], false),
    ("order_email", &["hash"], false),
    ("item", &["sale_order", "external_id"], true),
    ("item", &["attendee"], false),
    ("item", &["product", "settles_at"], false),
    ("item", &["decision"], false),
    ("item", &["programme", "external_product"], false),
    ("payment", &["source", "order_external_id", "item_external_id", "external_id"], true),
    ("reversal", &["source", "order_external_id", "item_external_id", "external_id"], true),
    ("assignment", &["item"], false),
    ("decision", &["item", "version"], true),
    ("decision_touch", &["touch"], false),
];

#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "a list")]
fn tables(backend: DbBackend) -> Vec<TableCreateStatement> {
    use Type::{Bool, Bytes, Int, Int64, Sequence, Text, Uuid};
    const NULL: bool = true;
    const SET: bool = false;
    let table = |name, columns, key| table(backend, name, columns, key);
    vec![
        table("programme", &[
            ("id", Text, SET),
            ("platform", Text, SET),
            ("title", Text, SET),
            ("never_names_affiliates", Bool, SET),
            ("test", Bool, SET),
            ("revision", Int64, SET),
            ("created_at", Int64, SET),
        ], &["id"]),
        table("affiliate", &[
            ("programme", Text, SET),
            ("id", Text, SET),
            ("title", Text, SET),
            ("house", Bool, SET),
            ("confirmed", Bool, SET),
            ("revision", Int64, SET),
            ("created_at", Int64, SET),
        ], &["programme", "id"]),
        table("affiliate_coupon", &[
            ("programme", Text, SET),
            ("code", Text, SET),
            ("affiliate", Text, SET),
        ], &["programme", "code"]),
        table("affiliate_email", &[
            ("programme", Text, SET),
            ("affiliate", Text, SET),
            ("hash", Bytes, SET),
        ], &["programme", "affiliate", "hash"]),
        table("suspension", &[
            ("id", Uuid, SET),
            ("programme", Text, SET),
            ("affiliate", Text, SET),
            ("starts_at", Int64, SET),
            ("ends_at", Int64, NULL),
            ("reason", Text, SET),
            ("recorded_at", Int64, SET),
        ], &["id"]),
        table("product", &[
            ("id", Text, SET),
            ("programme", Text, SET),
            ("title", Text, SET),
            ("sales_page_with", Text, NULL),
            ("sales_page_without", Text, NULL),
            ("checkout_with", Text, SET),
            ("checkout_without", Text, SET),
            ("cookie_policy", Int, SET),
            ("query_mode", Int, SET),
            ("query_names", Text, SET),
            ("policy_version", Int64, SET),
            ("revision", Int64, SET),
            ("created_at", Int64, SET),
        ], &["id"]),
        table("product_external_id", &[
            ("programme", Text, SET),
            ("external_id", Text, SET),
            ("product", Text, SET),
        ], &["programme", "external_id"]),
        table("policy", &[
            ("product", Text, SET),
            ("version", Int64, SET),
            ("model", Int, SET),
            ("window_seconds", Int64, SET),
            ("settle_after_seconds", Int64, SET),
            ("coupon_rank", Int, SET),
            ("created_at", Int64, SET),
        ], &["product", "version"]),
        table("webinar", &[
            ("id", Text, SET),
            ("title", Text, SET),
            ("campaign_ends_at", Int64, NULL),
            ("test", Bool, SET),
            ("revision", Int64, SET),
            ("created_at", Int64, SET),
        ], &["id"]),
        table("webinar_product", &[
            ("webinar", Text, SET),
            ("product", Text, SET),
            ("promotes", Bool, SET),
            ("offers", Bool, SET),
        ], &["webinar", "product"]),
        table("catalogue_removal", &[
            ("revision", Int64, SET),
            ("kind", Text, SET),
            ("key", Text, SET),
        ], &["revision"]),
        table("catalogue_clock", &[
            ("id", Int, SET),
            ("revision", Int64, SET),
        ], &["id"]),
        table("attendee", &[
            ("id", Uuid, SET),
            ("webinar", Text, SET),
            ("email_sealed", Bytes, NULL),
            ("known_since", Int64, NULL),
            ("test", Bool, SET),
            ("created_at", Int64, SET),
            ("erased_at", Int64, NULL),
        ], &["id"]),
        table("attendee_request", &[
            ("attendee", Uuid, SET),
            ("request", Text, SET),
        ], &["attendee", "request"]),
        table("attendee_email", &[
            ("webinar", Text, SET),
            ("hash", Bytes, SET),
            ("attendee", Uuid, SET),
        ], &["webinar", "hash"]),
        table("registration", &[
            ("id", Uuid, SET),
            ("attendee", Uuid, SET),
            ("source", Text, SET),
            ("external_webinar", Text, SET),
            ("external_id", Text, SET),
            ("session", Text, SET),
            ("affiliate", Text, NULL),
            ("registered_at", Int64, SET),
            ("received_at", Int64, SET),
            ("verified", Bool, SET),
        ], &["id"]),
        table("touch", &[
            ("id", Uuid, SET),
            ("origin", Text, SET),
            ("attendee", Uuid, NULL),
            ("sale_order", Uuid, NULL),
            ("click", Uuid, NULL),
            ("kind", Int, SET),
            ("programme", Text, SET),
            ("affiliate", Text, SET),
            ("product", Text, NULL),
            ("webinar", Text, NULL),
            ("session", Text, SET),
            ("occurred_at", Int64, SET),
            ("received_at", Int64, SET),
            ("verified", Bool, SET),
        ], &["id"]),
        table("click", &[
            ("id", Uuid, SET),
            ("product", Text, SET),
            ("programme", Text, NULL),
            ("affiliate", Text, NULL),
            ("no_affiliate", Int, SET),
            ("occurred_at", Int64, SET),
            ("received_at", Int64, SET),
            ("class", Int, SET),
            ("link", Int, SET),
            ("sub_ids", Text, SET),
            ("attendee", Uuid, NULL),
            ("cookie_click", Uuid, NULL),
            ("test", Bool, SET),
        ], &["id"]),
        table("click_log", &[
            ("id", Uuid, SET),
            ("next_position", Int64, SET),
        ], &["id"]),
        table("click_claim", &[
            ("click", Uuid, SET),
            ("attendee", Uuid, SET),
            ("verified", Bool, SET),
        ], &["click", "attendee"]),
        table("sale_order", &[
            ("id", Uuid, SET),
            ("source", Text, SET),
            ("external_id", Text, SET),
            ("programme", Text, SET),
            ("parent_external_id", Text, NULL),
            ("sold_at", Int64, SET),
            ("received_at", Int64, SET),
            ("token_attendee", Uuid, NULL),
            ("token_invalid", Bool, SET),
            ("click", Uuid, NULL),
            ("registration_source", Text, NULL),
            ("registration_external_webinar", Text, NULL),
            ("registration_external_id", Text, NULL),
            ("coupon", Text, NULL),
            ("test", Bool, SET),
        ], &["id"]),
        table("order_email", &[
            ("sale_order", Uuid, SET),
            ("hash", Bytes, SET),
        ], &["sale_order", "hash"]),
        table("item", &[
            ("id", Uuid, SET),
            ("sale_order", Uuid, SET),
            ("external_id", Text, SET),
            ("product", Text, NULL),
            ("programme", Text, SET),
            ("external_product", Text, SET),
            ("kind", Int, SET),
            ("price", Int64, NULL),
            ("currency", Text, NULL),
            ("platform_affiliate", Text, NULL),
            ("received_at", Int64, SET),
            ("settles_at", Int64, NULL),
            ("policy_version", Int64, NULL),
            ("test", Bool, SET),
            ("decision", Uuid, NULL),
            ("attendee", Uuid, NULL),
            ("affiliate", Text, NULL),
            ("credit", Int, SET),
            ("carried_by", Int, SET),
        ], &["id"]),
        table("payment", &[
            ("id", Uuid, SET),
            ("source", Text, SET),
            ("order_external_id", Text, SET),
            ("item_external_id", Text, SET),
            ("external_id", Text, SET),
            ("amount", Int64, SET),
            ("currency", Text, SET),
            ("paid_at", Int64, SET),
            ("sequence", Int, SET),
        ], &["id"]),
        table("reversal", &[
            ("id", Uuid, SET),
            ("source", Text, SET),
            ("order_external_id", Text, SET),
            ("item_external_id", Text, SET),
            ("external_id", Text, SET),
            ("kind", Int, SET),
            ("amount", Int64, SET),
            ("currency", Text, SET),
            ("reversed_at", Int64, SET),
        ], &["id"]),
        table("assignment", &[
            ("id", Uuid, SET),
            ("item", Uuid, SET),
            ("affiliate", Text, NULL),
            ("author", Text, SET),
            ("reason", Text, SET),
            ("assigned_at", Int64, SET),
        ], &["id"]),
        table("decision", &[
            ("id", Uuid, SET),
            ("item", Uuid, SET),
            ("version", Int, SET),
            ("programme", Text, SET),
            ("affiliate", Text, NULL),
            ("basis", Int, SET),
            ("credit", Int, SET),
            ("carried_by", Int, SET),
            ("attendee", Uuid, NULL),
            ("click", Uuid, NULL),
            ("policy_version", Int64, SET),
            ("reason", Text, SET),
            ("decided_at", Int64, SET),
            ("settles_at", Int64, SET),
            ("assignment", Uuid, NULL),
            ("inherited_from", Uuid, NULL),
        ], &["id"]),
        table("decision_touch", &[
            ("decision", Uuid, SET),
            ("touch", Uuid, SET),
            ("verdict", Int, SET),
        ], &["decision", "touch"]),
        table("decision_conflict", &[
            ("decision", Uuid, SET),
            ("ordinal", Int, SET),
            ("reference", Int, SET),
            ("attendee", Uuid, NULL),
            ("reason", Int, SET),
        ], &["decision", "ordinal"]),
        table("event", &[
            ("sequence", Sequence, SET),
            ("test", Bool, SET),
            ("body", Bytes, SET),
        ], &[]),
        table("request", &[
            ("id", Text, SET),
            ("method", Text, SET),
            ("fingerprint", Bytes, SET),
            ("answer", Bytes, SET),
            ("answered_at", Int64, SET),
        ], &["id"]),
    ]
}
