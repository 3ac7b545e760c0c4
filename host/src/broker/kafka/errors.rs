//! Says of each librdkafka error what the caller has to do about it.
//!
//! A transaction's error carries flags (fatal, abortable, retriable); what has none of them is fatal. Every other
//! error is only a code.

use rdkafka::error::{KafkaError, RDKafkaError};
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::broker::{BrokerError, BrokerErrorKind};

/// An error of an operation outside a transaction.
pub(super) fn broker_error(operation: impl Into<String>, error: &KafkaError) -> BrokerError {
    let kind = match error {
        KafkaError::Transaction(error) => transaction_kind(error),
        KafkaError::AdminOp(code) => code_kind(*code),
        KafkaError::Canceled => BrokerErrorKind::Retriable,
        other => other.rdkafka_error_code().map_or(BrokerErrorKind::Fatal, code_kind),
    };
    BrokerError::new(kind, operation, explain(error))
}

/// Whether calling again may help.
pub(super) fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => transaction_kind(error) == BrokerErrorKind::Retriable,
        other => other.rdkafka_error_code().is_some_and(|code| code_kind(code) == BrokerErrorKind::Retriable),
    }
}

/// Whether a code says that somebody else holds the transactional id or the membership now.
pub(super) fn is_fencing(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::FencedInstanceId)
}

/// Whether a code says that the group has moved on without this member, or is about to.
fn is_rebalance(code: Code) -> bool {
    matches!(
        code,
        Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::RebalanceInProgress
            | Code::StaleMemberEpoch
            | Code::FencedMemberEpoch
    )
}

/// Whether a code says that the cluster's rules, not its health, stand in the way.
pub(super) fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::PolicyViolation
            | Code::InvalidTopic
    )
}

fn transaction_kind(error: &RDKafkaError) -> BrokerErrorKind {
    if error.is_fatal() {
        if is_fencing(error.code()) { BrokerErrorKind::Fenced } else { BrokerErrorKind::Fatal }
    } else if error.txn_requires_abort() && is_rebalance(error.code()) {
        BrokerErrorKind::Rebalanced
    } else if error.txn_requires_abort() {
        BrokerErrorKind::Abortable
    } else if error.is_retriable() {
        BrokerErrorKind::Retriable
    } else {
        BrokerErrorKind::Fatal
    }
}

fn code_kind(code: Code) -> BrokerErrorKind {
    if is_fencing(code) {
        return BrokerErrorKind::Fenced;
    }
    match code {
        Code::AllBrokersDown
        | Code::BrokerTransportFailure
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::MessageTimedOut
        | Code::QueueFull
        | Code::WaitingForCoordinator
        | Code::Retry
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::RequestTimedOut
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::ListenerNotFound
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::OffsetNotAvailable
        | Code::NetworkException
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotController
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::ConcurrentTransactions
        | Code::RebalanceInProgress
        | Code::UnstableOffsetCommit
        | Code::ThrottlingQuotaExceeded
        | Code::KafkaStorageError => BrokerErrorKind::Retriable,
        _ => BrokerErrorKind::Fatal,
    }
}

/// librdkafka's words, without its Rust wrapper's; the value of a property may be a secret and stays out.
fn explain(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, why, key, _) => format!("property {key}: {why}"),
        KafkaError::Transaction(error) => error.string(),
        KafkaError::AdminOp(code) => code.to_string(),
        other => other.rdkafka_error_code().map_or_else(|| other.to_string(), |code| code.to_string()),
    }
}

#[cfg(test)]
mod tests {
    //! The table of codes, where a wrong entry would lose data or never end.

    use super::*;

    #[track_caller]
    fn expect(error: KafkaError, kind: BrokerErrorKind) {
        assert_eq!(broker_error("test", &error).kind, kind, "{error}");
    }

    #[test]
    fn codes_say_what_to_do() {
        expect(KafkaError::MetadataFetch(Code::BrokerTransportFailure), BrokerErrorKind::Retriable);
        expect(KafkaError::AdminOp(Code::NotController), BrokerErrorKind::Retriable);
        // The leader of a new partition may not know yet that it is.
        expect(KafkaError::OffsetFetch(Code::UnknownLeaderEpoch), BrokerErrorKind::Retriable);
        expect(KafkaError::MessageConsumption(Code::FencedInstanceId), BrokerErrorKind::Fenced);
        expect(KafkaError::MessageProduction(Code::ProducerFenced), BrokerErrorKind::Fenced);
        expect(KafkaError::AdminOp(Code::TopicAuthorizationFailed), BrokerErrorKind::Fatal);
        expect(KafkaError::ClientCreation("no".into()), BrokerErrorKind::Fatal);
    }

    #[test]
    fn a_wrong_property_is_named_and_its_value_is_not() {
        let error = rdkafka::ClientConfig::new().set("sasl.passwort", "hush").create_native_config().err().unwrap();
        let error = broker_error("open", &error).to_string();
        assert!(error.contains("sasl.passwort") && !error.contains("hush"), "{error}");
    }
}
