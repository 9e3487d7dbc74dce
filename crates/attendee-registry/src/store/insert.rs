//! Inserting many rows by few statements, made for each database: sea-orm's builder costs more than the database.

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbBackend, EntityTrait, IdenStatic, Iterable as _,
    ModelTrait as _, PrimaryKeyToColumn as _, PrimaryKeyTrait as _, Statement, TryGetable as _,
    Value, sea_query::ArrayType,
};
use uuid::Uuid;

use crate::error::{Error, Result};

/// Inserts rows. A key that the database counts is not taken from them.
pub(super) async fn insert<E: EntityTrait>(
    db: &impl ConnectionTrait,
    rows: &[E::Model],
) -> Result<()> {
    execute(db, &Rows::<E>::new(rows), "").await?;
    Ok(())
}

/// The same, leaving out what is there already.
pub(super) async fn insert_new<E: EntityTrait>(
    db: &impl ConnectionTrait,
    rows: &[E::Model],
) -> Result<()> {
    execute(db, &Rows::<E>::new(rows), "ON CONFLICT DO NOTHING").await?;
    Ok(())
}

/// Inserts rows whose column `id` is new, the first of each. Returns these IDs, or none where all were new.
pub(super) async fn insert_new_ids<E: EntityTrait>(
    db: &impl ConnectionTrait,
    rows: &[E::Model],
) -> Result<Option<Vec<Uuid>>> {
    let all = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    if all == 0 {
        return Ok(None);
    }
    let rows = Rows::<E>::new(rows);
    if db.get_database_backend() == DbBackend::Postgres {
        let (insert, mut values) = rows.arrays()?;
        values.push(Value::from(all));
        // One row back, not thousands, and a short one where nothing is known already.
        let sql = format!(
            "WITH new AS ({insert} ON CONFLICT DO NOTHING RETURNING id) \
             SELECT CASE WHEN COUNT(*) < ${} \
             THEN COALESCE(ARRAY_AGG(id), ARRAY[]::uuid[]) END FROM new",
            values.len(),
        );
        let insert = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
        return match db.query_one_raw(insert).await? {
            Some(row) => Ok(Option::try_get_by(&row, 0).map_err(sea_orm::DbErr::from)?),
            None => Ok(None),
        };
    }
    let stored = execute(db, &rows, "ON CONFLICT DO NOTHING").await?;
    if i64::try_from(stored) == Ok(all) {
        return Ok(None);
    }
    // Nobody else writes meanwhile, and rows are numbered as they come.
    let newest = format!("SELECT id FROM {} ORDER BY rowid DESC LIMIT {stored}", rows.table);
    let newest = db.query_all_raw(Statement::from_string(DbBackend::Sqlite, newest)).await?;
    let ids = newest.iter().map(|row| Uuid::try_get_by(row, 0)).collect::<Result<_, _>>();
    Ok(Some(ids.map_err(sea_orm::DbErr::from)?))
}

/// Inserts rows; returns how many.
async fn execute<E: EntityTrait>(
    db: &impl ConnectionTrait,
    rows: &Rows<'_, E>,
    on_conflict: &str,
) -> Result<u64> {
    let mut inserted = 0;
    for (sql, values) in rows.statements(db.get_database_backend())? {
        let sql = format!("{sql} {on_conflict}");
        let insert = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
        inserted += db.execute_raw(insert).await?.rows_affected();
    }
    Ok(inserted)
}

/// The most rows of a statement for `SQLite`, which binds 32,766 values at most: enough for 60 columns.
const MOST: usize = 512;

/// Rows of a table.
struct Rows<'a, E: EntityTrait> {
    table: &'static str,
    columns: Vec<E::Column>,
    models: &'a [E::Model],
}

impl<'a, E: EntityTrait> Rows<'a, E> {
    fn new(models: &'a [E::Model]) -> Self {
        let counted = |column| {
            E::PrimaryKey::auto_increment() && E::PrimaryKey::from_column(column).is_some()
        };
        Self {
            table: E::default().table_name(),
            columns: E::Column::iter().filter(|column| !counted(*column)).collect(),
            models,
        }
    }

    fn statements(&self, backend: DbBackend) -> Result<Vec<(String, Vec<Value>)>> {
        if self.models.is_empty() {
            return Ok(Vec::new());
        }
        if backend == DbBackend::Postgres {
            return Ok(vec![self.arrays()?]);
        }
        let mut statements = Vec::new();
        let mut rest = self.models;
        while !rest.is_empty() {
            // Statements are kept prepared: powers of two are few.
            let (some, others) = rest.split_at(1 << rest.len().min(MOST).ilog2());
            rest = others;
            statements.push(self.places(some));
        }
        Ok(statements)
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(IdenStatic::as_str).collect();
        names.join(", ")
    }

    /// For `SQLite`: a place for each value.
    fn places(&self, rows: &[E::Model]) -> (String, Vec<Value>) {
        let row = format!("({})", vec!["?"; self.columns.len()].join(","));
        let places = vec![row; rows.len()].join(",");
        let sql = format!("INSERT INTO {} ({}) VALUES {places}", self.table, self.names());
        let values = rows.iter().flat_map(|row| self.columns.iter().map(|column| row.get(*column)));
        (sql, values.collect())
    }

    /// For `PostgreSQL`: an array for each column, and so one statement for any number of rows.
    fn arrays(&self) -> Result<(String, Vec<Value>)> {
        let (mut places, mut chosen, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (n, column) in self.columns.iter().enumerate() {
            let name = column.as_str();
            let mut cells = self.models.iter().map(|row| row.get(*column)).peekable();
            let Kind { name: kind, array, none, none_text } = cells
                .peek()
                .and_then(Kind::of)
                .ok_or_else(|| Error::internal(format!("{name} is of a type without arrays")))?;
            places.push(format!("${}::{kind}[]", n + 1));
            if column.def().is_null() {
                chosen.push(format!("NULLIF({name}, '{none_text}')"));
            } else {
                chosen.push(name.to_owned());
            }
            let cells = cells.map(|cell| if is_none(&cell) { none.clone() } else { cell });
            values.push(Value::Array(array, Some(Box::new(cells.collect()))));
        }
        let (table, names) = (self.table, self.names());
        let (chosen, places) = (chosen.join(", "), places.join(", "));
        let sql = format!(
            "INSERT INTO {table} ({names}) SELECT {chosen} FROM UNNEST({places}) AS new ({names})"
        );
        Ok((sql, values))
    }
}

/// A type of `PostgreSQL`, and a value which no column has that may be NULL. It stands for NULL, which sea-orm's arrays
/// cannot hold.
struct Kind {
    name: &'static str,
    array: ArrayType,
    none: Value,
    none_text: &'static str,
}

impl Kind {
    fn of(value: &Value) -> Option<Self> {
        let (name, array, none, none_text) = match value {
            Value::Bool(_) => ("bool", ArrayType::Bool, Value::Bool(Some(false)), "false"),
            Value::Int(_) => ("int4", ArrayType::Int, i32::MIN.into(), "-2147483648"),
            Value::BigInt(_) => {
                ("int8", ArrayType::BigInt, i64::MIN.into(), "-9223372036854775808")
            }
            Value::String(_) => ("text", ArrayType::String, "".into(), ""),
            Value::Bytes(_) => ("bytea", ArrayType::Bytes, Vec::<u8>::new().into(), ""),
            Value::Uuid(_) => {
                let nil = "00000000-0000-0000-0000-000000000000";
                ("uuid", ArrayType::Uuid, Uuid::nil().into(), nil)
            }
            _ => return None,
        };
        Some(Self { name, array, none, none_text })
    }
}

fn is_none(value: &Value) -> bool {
    matches!(
        value,
        Value::Bool(None)
            | Value::Int(None)
            | Value::BigInt(None)
            | Value::String(None)
            | Value::Bytes(None)
            | Value::Uuid(None)
    )
}
