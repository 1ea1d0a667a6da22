-- Copies of the tables for the bare rival: the same columns, indexes, CHECKs and foreign keys, but none of our triggers,
-- so that it must be trusted.
CREATE SCHEMA bare;
CREATE TABLE bare.wallet_wallet (LIKE public.wallet_wallet INCLUDING ALL);
CREATE TABLE bare.transactions_transaction (LIKE public.transactions_transaction INCLUDING ALL);
CREATE TABLE bare.transactions_ledgerentry (LIKE public.transactions_ledgerentry INCLUDING ALL);
CREATE TABLE bare.fintech_core_auditlog (LIKE public.fintech_core_auditlog INCLUDING ALL);
CREATE TABLE bare.fintech_core_idempotencyrecord (LIKE public.fintech_core_idempotencyrecord INCLUDING ALL);
CREATE TABLE bare.fintech_core_outboxevent (LIKE public.fintech_core_outboxevent INCLUDING ALL);
ALTER TABLE bare.transactions_ledgerentry
    ADD FOREIGN KEY (transaction_id) REFERENCES bare.transactions_transaction (id);
ALTER TABLE bare.transactions_ledgerentry ADD FOREIGN KEY (wallet_id) REFERENCES bare.wallet_wallet (id);
INSERT INTO bare.wallet_wallet SELECT * FROM public.wallet_wallet;
