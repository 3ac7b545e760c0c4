//! The pump of a transform: topic to topic, exactly once, with state that belongs to the input partition.

use sandbar_abi::manifest::Kind;

use super::chain::Chain;
use super::consume::{self, Delivery};
use super::context::Context;
use super::stage::Stage;
use super::{TaskEnd, TaskError};
use crate::broker::{PartitionBatch, StatePlace, TopicPartition};
use sandbar_abi::status::CloseReason;

/// Runs a transform task.
pub(super) async fn run(context: &mut Context) -> Result<TaskEnd, TaskError> {
    let plan = context.plan.clone();
    let stages = std::iter::once(&plan.plugin).chain(&plan.transforms);
    let stages = stages.map(|stage| Stage::new(&plan, stage, Kind::Transform, &context.progress)).collect();
    let mut pump = TransformPump { chain: Chain { stages } };
    pump.chain.open(context).await?;
    let ended = consume::run(context, &mut pump).await;
    pump.chain.close(context.stopping().unwrap_or(CloseReason::Stop)).await;
    ended
}

struct TransformPump {
    chain: Chain,
}

impl Delivery for TransformPump {
    async fn deliver(&mut self, context: &mut Context, batch: &PartitionBatch) -> Result<(), TaskError> {
        let place = StatePlace::Partition(batch.partition.clone());
        let applied = self.chain.apply(context, &batch.batch, &place).await?;
        context.fail(&batch.batch, applied.failures).await?;
        if let Some(output) = applied.output {
            context.stage(output, &batch.batch).await?;
        }
        context.absorb(self.chain.stages.iter_mut());
        context.consumed(&batch.partition, batch.next_offset, batch.batch.len());
        context.progress.took(Some(&batch.partition.topic), &batch.batch);
        Ok(())
    }

    async fn assigned(
        &mut self,
        context: &mut Context,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<i64>>, TaskError> {
        consume::load_state(context, self.chain.stages.iter_mut(), partitions).await?;
        Ok(vec![None; partitions.len()])
    }

    async fn released(&mut self, _: &mut Context, partitions: &[TopicPartition]) -> Result<(), TaskError> {
        consume::forget_state(self.chain.stages.iter_mut(), partitions);
        Ok(())
    }

    async fn commit(&mut self, context: &mut Context) -> Result<(), TaskError> {
        context.commit().await
    }
}
