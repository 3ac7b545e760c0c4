//! The broker contract.

sandbar_tests::contract_tests!(crate::kafka);
