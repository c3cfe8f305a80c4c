//! Making the ledger table: on demand, with point-in-time recovery, TTL and deletion protection.

use std::time::Duration;

use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification, PointInTimeRecoveryStatus,
    ScalarAttributeType, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use issei_aws::AwsCall;

use crate::{Ledger, LedgerError};

/// What was done to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableReport {
    pub created: bool,
    pub time_to_live_turned_on: bool,
    pub recovery_turned_on: bool,
}

/// What the table takes in a second, as far as DynamoDB tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throughput {
    /// As much as comes, and at once as much as it was warmed for.
    OnDemand {
        warm_writes: Option<u64>,
    },
    Provisioned {
        writes: u64,
    },
}

impl Ledger {
    /// What the table takes.
    pub async fn throughput(&self) -> Result<Throughput, LedgerError> {
        let answer = self.db.describe_table().table_name(&self.table).call().await.map_err(LedgerError::call("DescribeTable"))?;
        let table = answer.table.ok_or_else(|| LedgerError::corrupt(&self.table, "DescribeTable tells nothing of it"))?;
        let whole = |units: i64| u64::try_from(units).unwrap_or_default();
        let is_on_demand = table.billing_mode_summary.and_then(|summary| summary.billing_mode) == Some(BillingMode::PayPerRequest);
        // Nothing is warm for nothing: where it says 0, it does not tell.
        let warm_writes = table.warm_throughput.and_then(|warm| warm.write_units_per_second).map(whole).filter(|writes| *writes > 0);
        let writes = table.provisioned_throughput.and_then(|told| told.write_capacity_units).map_or(0, whole);
        Ok(if is_on_demand || writes == 0 { Throughput::OnDemand { warm_writes } } else { Throughput::Provisioned { writes } })
    }

    /// Makes the table where it is missing and turns on what is off. Safe to repeat.
    pub async fn ensure_table(&self) -> Result<TableReport, LedgerError> {
        let created = self.create_table().await?;
        self.wait_until_active().await?;
        if !created && let Some(reason) = self.is_no_ledger().await? {
            return Err(LedgerError::NoLedger { table: self.table.clone(), reason });
        }
        if created {
            self.keep_digests_keyed_alone().await?;
        }
        Ok(TableReport {
            created,
            time_to_live_turned_on: self.ensure_time_to_live().await?,
            recovery_turned_on: self.ensure_recovery().await?,
        })
    }

    async fn create_table(&self) -> Result<bool, LedgerError> {
        let key = |name: &str, kind: KeyType| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        let text = |name: &str| AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build();
        let request = self
            .db
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .deletion_protection_enabled(true)
            .set_key_schema([key("pk", KeyType::Hash), key("sk", KeyType::Range)].into_iter().collect::<Result<_, _>>().ok())
            .set_attribute_definitions([text("pk"), text("sk")].into_iter().collect::<Result<_, _>>().ok());
        match request.call().await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.as_service_error(), Some(CreateTableError::ResourceInUseException(_))) => Ok(false),
            Err(error) => Err(LedgerError::call("CreateTable")(error)),
        }
    }

    async fn wait_until_active(&self) -> Result<(), LedgerError> {
        for _ in 0..150 {
            let answer = self.db.describe_table().table_name(&self.table).call().await.map_err(LedgerError::call("DescribeTable"))?;
            if answer.table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(LedgerError::Unavailable { operation: "DescribeTable", reason: format!("table `{}` is not active after 150 s", self.table) })
    }

    async fn ensure_time_to_live(&self) -> Result<bool, LedgerError> {
        let answer =
            self.db.describe_time_to_live().table_name(&self.table).call().await.map_err(LedgerError::call("DescribeTimeToLive"))?;
        let status = answer.time_to_live_description.and_then(|description| description.time_to_live_status);
        if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
            return Ok(false);
        }
        let specification = TimeToLiveSpecification::builder().enabled(true).attribute_name("expires_at").build();
        let specification = specification.map_err(|error| LedgerError::corrupt("expires_at", error))?;
        let request = self.db.update_time_to_live().table_name(&self.table).time_to_live_specification(specification);
        request.call().await.map_err(LedgerError::call("UpdateTimeToLive"))?;
        Ok(true)
    }

    async fn ensure_recovery(&self) -> Result<bool, LedgerError> {
        let answer = self
            .db
            .describe_continuous_backups()
            .table_name(&self.table)
            .call()
            .await
            .map_err(LedgerError::call("DescribeContinuousBackups"))?;
        let recovery = answer.continuous_backups_description.and_then(|description| description.point_in_time_recovery_description);
        if recovery.and_then(|recovery| recovery.point_in_time_recovery_status) == Some(PointInTimeRecoveryStatus::Enabled) {
            return Ok(false);
        }
        let specification = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build();
        let specification = specification.map_err(|error| LedgerError::corrupt("point-in-time recovery", error))?;
        let request = self.db.update_continuous_backups().table_name(&self.table).point_in_time_recovery_specification(specification);
        request.call().await.map_err(LedgerError::call("UpdateContinuousBackups"))?;
        Ok(true)
    }
}
