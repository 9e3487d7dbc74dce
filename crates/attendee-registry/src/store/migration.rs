//! The schema's history. What is applied is never changed: append.

use sea_orm_migration::prelude::*;

mod m0001_initial;
mod m0002_counts;
mod m0003_sources;
mod m0004_visitors;

pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_initial::Migration),
            Box::new(m0002_counts::Migration),
            Box::new(m0003_sources::Migration),
            Box::new(m0004_visitors::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        "schema_migration".into_iden()
    }
}
