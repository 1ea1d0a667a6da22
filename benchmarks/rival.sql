-- The rival: hand-written SQL that writes the same rows as our service, on the same server, with the same columns,
-- indexes, CHECKs and foreign keys, and the hash of every entry; but without our triggers, so it must be trusted.
CREATE SCHEMA rival;
CREATE TABLE rival.wallet (LIKE public.wallet_wallet INCLUDING ALL);
CREATE TABLE rival.transaction (LIKE public.transactions_transaction INCLUDING ALL);
CREATE TABLE rival.entry (LIKE public.transactions_ledgerentry INCLUDING ALL);
CREATE TABLE rival.audit (LIKE public.fintech_core_auditlog INCLUDING ALL);
CREATE TABLE rival.idempotency (LIKE public.fintech_core_idempotencyrecord INCLUDING ALL);
ALTER TABLE rival.entry ADD FOREIGN KEY (transaction_id) REFERENCES rival.transaction (id);
ALTER TABLE rival.entry ADD FOREIGN KEY (wallet_id) REFERENCES rival.wallet (id);
INSERT INTO rival.wallet SELECT * FROM public.wallet_wallet;

CREATE FUNCTION rival.line_hash(previous bytea, entry uuid, tx uuid, facts text, wallet uuid, sequence bigint,
    direction text, amount numeric, currency text, balance numeric, exponent int, posted timestamptz)
RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(previous || convert_to(concat_ws('|', '1', entry, tx, facts, wallet, sequence, direction,
        round(amount, exponent), currency, round(balance, exponent),
        to_char(posted AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), 'UTF8'))
$$;

-- One transfer with everything that belongs to it, in one call.
CREATE FUNCTION rival.transfer(source uuid, destination uuid, amount numeric, currency text, initiator uuid, key text)
RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    s rival.wallet; d rival.wallet; w rival.wallet; claim uuid := uuidv7(); tx uuid := uuidv7();
    debit uuid := uuidv7(); credit uuid := uuidv7();
    posted timestamptz := clock_timestamp(); facts text; digest text;
BEGIN
    INSERT INTO rival.idempotency (id, principal_kind, principal_id, organization_id, key, fingerprint, content_type)
        VALUES (claim, 'user', initiator, '00000000-0000-0000-0000-000000000000', key, sha256(key::bytea), '')
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RAISE EXCEPTION 'key used'; END IF;
    FOR w IN SELECT * FROM rival.wallet WHERE id IN (source, destination) ORDER BY id FOR NO KEY UPDATE LOOP
        IF w.id = source THEN s := w; ELSE d := w; END IF;
    END LOOP;
    IF s.status <> 'ACTIVE' OR d.status <> 'ACTIVE' OR s.currency <> currency OR d.currency <> currency
       OR s.balance - s.held - amount < s.floor THEN
        RAISE EXCEPTION 'refused';
    END IF;
    digest := encode(sha256(uuid_send(tx)), 'hex');
    facts := encode(sha256(convert_to(concat_ws('|', '1', tx, 'TRANSFER', initiator, '', posted, '', digest), 'UTF8')),
        'hex');
    INSERT INTO rival.transaction (id, kind, status, source_owner, initiator_kind, initiator_id, description, metadata,
            salt, text_digest, effective_at, posted_at, created_at)
        VALUES (tx, 'TRANSFER', 'POSTED', s.owner_user_id, 'user', initiator, '', '{}', uuid_send(tx), digest, posted,
            posted, posted);
    s.head := rival.line_hash(s.head, debit, tx, facts, source, s.sequence + 1, 'DEBIT', amount, currency,
        s.balance - amount, s.exponent, posted);
    d.head := rival.line_hash(d.head, credit, tx, facts, destination, d.sequence + 1, 'CREDIT', amount, currency,
        d.balance + amount, d.exponent, posted);
    INSERT INTO rival.entry (id, transaction_id, leg, wallet_id, direction, amount, currency, sequence, balance_after,
            posted_at, hash)
        VALUES (debit, tx, 0, source, 'DEBIT', amount, currency, s.sequence + 1, s.balance - amount, posted, s.head),
               (credit, tx, 0, destination, 'CREDIT', amount, currency, d.sequence + 1, d.balance + amount, posted,
                d.head);
    UPDATE rival.wallet SET balance = balance - amount, sequence = sequence + 1, head = s.head, last_posted_at = posted
        WHERE id = source;
    UPDATE rival.wallet SET balance = balance + amount, sequence = sequence + 1, head = d.head, last_posted_at = posted
        WHERE id = destination;
    INSERT INTO rival.audit (actor_kind, actor_id, actor_name, actor_roles, action, entity_type, entity_id, before,
            after, reason, request_id)
        VALUES ('user', initiator, '', '["client"]', 'transfer.created', 'transaction', tx::text, '{}',
            jsonb_build_object('status', 'POSTED', 'money', amount || ' ' || currency, 'source_wallet', source,
                'destination_wallet', destination), '', '');
    UPDATE rival.idempotency SET status = 201, content_type = 'application/json',
        body = convert_to(format('{"id": "%s"}', tx), 'UTF8') WHERE id = claim;
    RETURN tx;
END $$;

-- A batch, set-based: running balances by window functions, every table written by one statement.
CREATE FUNCTION rival.transfer_batch(sources uuid[], destinations uuid[], amounts numeric[], initiator uuid, key text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE posted timestamptz := clock_timestamp(); claim uuid := uuidv7();
BEGIN
    INSERT INTO rival.idempotency (id, principal_kind, principal_id, organization_id, key, fingerprint, content_type)
        VALUES (claim, 'user', initiator, '00000000-0000-0000-0000-000000000000', key, sha256(key::bytea), '')
        ON CONFLICT DO NOTHING;
    PERFORM 1 FROM rival.wallet WHERE id = ANY (sources || destinations) ORDER BY id FOR NO KEY UPDATE;
    CREATE TEMP TABLE batch ON COMMIT DROP AS
        SELECT uuidv7() AS tx, source, destination, amount, ordinality AS n
        FROM unnest(sources, destinations, amounts) WITH ORDINALITY AS t (source, destination, amount, ordinality);
    INSERT INTO rival.transaction (id, kind, status, source_owner, initiator_kind, initiator_id, description, metadata,
            salt, text_digest, effective_at, posted_at, created_at)
        SELECT tx, 'TRANSFER', 'POSTED', w.owner_user_id, 'user', initiator, '', '{}', uuid_send(tx),
            encode(sha256(uuid_send(tx)), 'hex'), posted, posted, posted
        FROM batch JOIN rival.wallet w ON w.id = source;
    CREATE TEMP TABLE drawn ON COMMIT DROP AS
        SELECT uuidv7() AS id, l.tx, l.wallet, l.direction, l.amount, w.currency, w.exponent, w.floor, w.held, w.head,
            w.sequence + row_number() OVER chain AS sequence,
            w.balance + sum(CASE l.direction WHEN 'CREDIT' THEN l.amount ELSE -l.amount END) OVER chain AS balance
        FROM (SELECT tx, source AS wallet, 'DEBIT' AS direction, amount, n FROM batch
              UNION ALL SELECT tx, destination, 'CREDIT', amount, n FROM batch) l
        JOIN rival.wallet w ON w.id = l.wallet
        WINDOW chain AS (PARTITION BY l.wallet ORDER BY l.n, l.direction DESC);
    IF EXISTS (SELECT 1 FROM drawn WHERE direction = 'DEBIT' AND balance - held < floor) THEN
        RAISE EXCEPTION 'refused';
    END IF;
    INSERT INTO rival.entry (id, transaction_id, leg, wallet_id, direction, amount, currency, sequence, balance_after,
            posted_at, hash)
        SELECT id, tx, 0, wallet, direction, amount, currency, sequence, balance, posted,
            rival.line_hash(head, id, tx, encode(sha256(convert_to(concat_ws('|', '1', tx, 'TRANSFER', initiator, '',
                posted, '', tx), 'UTF8')), 'hex'), wallet, sequence, direction, amount, currency, balance, exponent,
                posted)
        FROM drawn;
    UPDATE rival.wallet w SET balance = last.balance_after, sequence = last.sequence, head = last.hash,
            last_posted_at = posted
        FROM (SELECT DISTINCT ON (e.wallet_id) e.* FROM rival.entry e JOIN drawn d ON d.id = e.id
              ORDER BY e.wallet_id, e.sequence DESC) last
        WHERE w.id = last.wallet_id;
    INSERT INTO rival.audit (actor_kind, actor_id, actor_name, actor_roles, action, entity_type, entity_id, before,
            after, reason, request_id)
        SELECT 'user', initiator, '', '["client"]', 'transfer.created', 'transaction', tx::text, '{}',
            jsonb_build_object('status', 'POSTED', 'money', amount || ' USD', 'source_wallet', source,
                'destination_wallet', destination), '', ''
        FROM batch;
    UPDATE rival.idempotency SET status = 200, content_type = 'application/json',
        body = convert_to((SELECT jsonb_agg(tx)::text FROM batch), 'UTF8') WHERE id = claim;
END $$;
