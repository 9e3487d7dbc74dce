//! Storing many rows by one statement. sea-orm's builder costs more than the database.

use std::fmt::Write as _;

use sea_orm::{
    ConnectionTrait, DbBackend, EntityTrait, IdenStatic, Iterable as _, ModelTrait as _,
    PrimaryKeyToColumn as _, PrimaryKeyTrait as _, Statement,
};

use crate::error::Result;

/// Inserts rows, no more than [`CHUNK`](super::CHUNK). A key that the database counts is not taken from them.
pub(super) async fn insert<E: EntityTrait>(
    db: &impl ConnectionTrait,
    rows: Vec<E::Model>,
) -> Result<()> {
    insert_where_new::<E>(db, rows, "").await
}

/// The same, leaving out what is there already.
pub(super) async fn insert_new<E: EntityTrait>(
    db: &impl ConnectionTrait,
    rows: Vec<E::Model>,
) -> Result<()> {
    insert_where_new::<E>(db, rows, " ON CONFLICT DO NOTHING").await
}

async fn insert_where_new<E: EntityTrait>(
    db: &impl ConnectionTrait,
    rows: Vec<E::Model>,
    on_conflict: &str,
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let counted =
        |column| E::PrimaryKey::auto_increment() && E::PrimaryKey::from_column(column).is_some();
    let columns: Vec<E::Column> = E::Column::iter().filter(|column| !counted(*column)).collect();
    let backend = db.get_database_backend();
    let names: Vec<&str> = columns.iter().map(IdenStatic::as_str).collect();
    let mut sql =
        format!("INSERT INTO {} ({}) VALUES ", E::default().table_name(), names.join(","));
    let mut values = Vec::with_capacity(rows.len() * columns.len());
    for row in &rows {
        sql.push_str(if values.is_empty() { "(" } else { ",(" });
        for (n, column) in columns.iter().enumerate() {
            values.push(row.get(*column));
            if n > 0 {
                sql.push(',');
            }
            match backend {
                // Writing to a String cannot fail.
                DbBackend::Postgres => drop(write!(sql, "${}", values.len())),
                _ => sql.push('?'),
            }
        }
        sql.push(')');
    }
    sql.push_str(on_conflict);
    db.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(())
}
