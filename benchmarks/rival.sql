-- The rival: hand-written SQL that writes the rows that our service writes (key, transaction, entries with their hashes,
-- balances, audit, outbox), each use case in one call. It reads no KYC level, no fee schedule and no monitor.
--
-- Made twice: in the schema `guarded` it writes our own tables, so it gives the same guarantees; in `bare` it writes
-- copies of them without triggers. @schema and @tables say which.
CREATE SCHEMA IF NOT EXISTS @schema;

CREATE FUNCTION @schema.line_hash(previous bytea, entry uuid, tx uuid, facts text, wallet uuid, sequence bigint,
    direction text, amount numeric, currency text, balance numeric, exponent int, posted timestamptz)
RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(previous || convert_to(concat_ws('|', '1', entry, tx, facts, wallet, sequence, direction,
        round(amount, exponent), currency, round(balance, exponent),
        to_char(posted AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), 'UTF8'))
$$;

CREATE FUNCTION @schema.facts(tx uuid, initiator uuid, posted timestamptz, digest text)
RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to(concat_ws('|', '1', tx, 'TRANSFER', initiator, '',
        to_char(posted AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '', digest), 'UTF8')), 'hex')
$$;

CREATE FUNCTION @schema.described(wallet uuid, direction text, amount numeric, balance numeric, exponent int)
RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('kind', 'TRANSFER', 'entries', jsonb_build_array(jsonb_build_object('wallet', wallet,
        'direction', direction, 'amount', round(amount, exponent)::text, 'currency', 'USD',
        'balance_after', round(balance, exponent)::text)))
$$;

-- One transfer with everything that belongs to it.
CREATE FUNCTION @schema.transfer(source uuid, destination uuid, amount numeric, currency text, initiator uuid, key text)
RETURNS uuid LANGUAGE plpgsql SET search_path = @tables, pg_catalog AS $$
DECLARE
    s wallet_wallet; d wallet_wallet; w wallet_wallet; claim uuid := uuidv7(); tx uuid := uuidv7();
    debit uuid := uuidv7(); credit uuid := uuidv7(); salt bytea := uuid_send(gen_random_uuid());
    posted timestamptz := clock_timestamp(); facts text; digest text;
BEGIN
    INSERT INTO fintech_core_idempotencyrecord (id, principal_kind, principal_id, organization_id, key, fingerprint,
            content_type)
        VALUES (claim, 'user', initiator, '00000000-0000-0000-0000-000000000000', key, sha256(key::bytea), '')
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RAISE EXCEPTION 'key used'; END IF;
    FOR w IN SELECT * FROM wallet_wallet WHERE id IN (source, destination) ORDER BY id FOR NO KEY UPDATE LOOP
        IF w.id = source THEN s := w; ELSE d := w; END IF;
    END LOOP;
    IF s.status <> 'ACTIVE' OR d.status <> 'ACTIVE' OR s.currency <> currency OR d.currency <> currency
       OR s.balance - s.held - amount < s.floor THEN
        RAISE EXCEPTION 'refused';
    END IF;
    posted := greatest(posted, s.last_posted_at, d.last_posted_at);
    digest := encode(sha256(salt || '\x00'::bytea || convert_to('{}', 'UTF8')), 'hex');
    facts := @schema.facts(tx, initiator, posted, digest);
    INSERT INTO transactions_transaction (id, kind, status, source_owner, initiator_kind, initiator_id, description,
            metadata, salt, text_digest, effective_at, posted_at, created_at)
        VALUES (tx, 'TRANSFER', 'POSTED', s.owner_user_id, 'user', initiator, '', '{}', salt, digest, posted, posted,
            posted);
    s.head := @schema.line_hash(s.head, debit, tx, facts, source, s.sequence + 1, 'DEBIT', amount, currency,
        s.balance - amount, s.exponent, posted);
    d.head := @schema.line_hash(d.head, credit, tx, facts, destination, d.sequence + 1, 'CREDIT', amount, currency,
        d.balance + amount, d.exponent, posted);
    INSERT INTO transactions_ledgerentry (id, transaction_id, leg, wallet_id, direction, amount, currency, sequence,
            balance_after, posted_at, hash)
        VALUES (debit, tx, 0, source, 'DEBIT', amount, currency, s.sequence + 1, s.balance - amount, posted, s.head),
               (credit, tx, 0, destination, 'CREDIT', amount, currency, d.sequence + 1, d.balance + amount, posted,
                d.head);
    IF '@tables' = 'bare' THEN  -- in our own tables the entries' trigger writes the balances
        UPDATE wallet_wallet SET balance = balance - amount, sequence = sequence + 1, head = s.head,
                last_posted_at = posted
            WHERE id = source;
        UPDATE wallet_wallet SET balance = balance + amount, sequence = sequence + 1, head = d.head,
                last_posted_at = posted
            WHERE id = destination;
    END IF;
    INSERT INTO fintech_core_auditlog (actor_kind, actor_id, actor_name, actor_roles, action, entity_type, entity_id,
            before, after, reason, request_id)
        VALUES ('user', initiator, '', '["client"]', 'transfer.created', 'transaction', tx::text, '{}',
            jsonb_build_object('status', 'POSTED', 'money', amount || ' ' || currency, 'fee', '0.00 ' || currency,
                'source_wallet', source, 'destination_wallet', destination), '', '');
    INSERT INTO fintech_core_outboxevent (event_id, type, entity_type, entity_id, owner_id, payload)
        VALUES (uuidv7(), 'transaction.posted', 'transaction', tx, s.owner_user_id,
                @schema.described(source, 'DEBIT', amount, s.balance - amount, s.exponent)),
               (uuidv7(), 'transaction.posted', 'transaction', tx, d.owner_user_id,
                @schema.described(destination, 'CREDIT', amount, d.balance + amount, d.exponent));
    UPDATE fintech_core_idempotencyrecord SET status = 201, content_type = 'application/json',
        body = convert_to(format('{"id": "%s"}', tx), 'UTF8') WHERE id = claim;
    RETURN tx;
END $$;

-- A batch: running balances by window functions, every table written by one statement. Only the hashes need a walk,
-- since each contains the one before.
CREATE FUNCTION @schema.transfer_batch(sources uuid[], destinations uuid[], amounts numeric[], initiator uuid, key text)
RETURNS void LANGUAGE plpgsql SET search_path = @tables, pg_catalog AS $$
DECLARE
    posted timestamptz := clock_timestamp(); claim uuid := uuidv7();
    line record; previous bytea; walked uuid; entries uuid[]; hashes bytea[];
BEGIN
    INSERT INTO fintech_core_idempotencyrecord (id, principal_kind, principal_id, organization_id, key, fingerprint,
            content_type)
        VALUES (claim, 'user', initiator, '00000000-0000-0000-0000-000000000000', key, sha256(key::bytea), '')
        ON CONFLICT DO NOTHING;
    PERFORM 1 FROM wallet_wallet WHERE id = ANY (sources || destinations) ORDER BY id FOR NO KEY UPDATE;
    SELECT greatest(posted, max(last_posted_at)) INTO posted FROM wallet_wallet
        WHERE id = ANY (sources || destinations);
    CREATE TEMP TABLE batch ON COMMIT DROP AS
        SELECT t.*, w.owner_user_id AS payer, encode(sha256(t.salt || '\x00'::bytea || convert_to('{}', 'UTF8')), 'hex')
            AS digest
        FROM (SELECT uuidv7() AS tx, uuid_send(gen_random_uuid()) AS salt, source, destination, amount, n
              FROM unnest(sources, destinations, amounts) WITH ORDINALITY AS u (source, destination, amount, n)) t
        JOIN wallet_wallet w ON w.id = t.source;
    INSERT INTO transactions_transaction (id, kind, status, source_owner, initiator_kind, initiator_id, description,
            metadata, salt, text_digest, effective_at, posted_at, created_at)
        SELECT tx, 'TRANSFER', 'POSTED', payer, 'user', initiator, '', '{}', salt, digest, posted, posted, posted
        FROM batch;
    CREATE TEMP TABLE drawn ON COMMIT DROP AS
        SELECT uuidv7() AS id, l.tx, @schema.facts(l.tx, initiator, posted, l.digest) AS facts, l.wallet, l.direction,
            l.amount, w.currency, w.exponent, w.floor, w.held, w.head, w.owner_user_id AS owner,
            w.sequence + row_number() OVER chain AS sequence,
            w.balance + sum(CASE l.direction WHEN 'CREDIT' THEN l.amount ELSE -l.amount END) OVER chain AS balance
        FROM (SELECT tx, digest, source AS wallet, 'DEBIT' AS direction, amount, n FROM batch
              UNION ALL SELECT tx, digest, destination, 'CREDIT', amount, n FROM batch) l
        JOIN wallet_wallet w ON w.id = l.wallet
        WINDOW chain AS (PARTITION BY l.wallet ORDER BY l.n, l.direction DESC);
    IF EXISTS (SELECT 1 FROM drawn WHERE direction = 'DEBIT' AND balance - held < floor) THEN
        RAISE EXCEPTION 'refused';
    END IF;
    FOR line IN SELECT * FROM drawn ORDER BY wallet, sequence LOOP
        previous := @schema.line_hash(CASE WHEN walked = line.wallet THEN previous ELSE line.head END, line.id, line.tx,
            line.facts, line.wallet, line.sequence, line.direction, line.amount, line.currency, line.balance,
            line.exponent, posted);
        walked := line.wallet;
        entries := array_append(entries, line.id);
        hashes := array_append(hashes, previous);
    END LOOP;
    INSERT INTO transactions_ledgerentry (id, transaction_id, leg, wallet_id, direction, amount, currency, sequence,
            balance_after, posted_at, hash)
        SELECT d.id, d.tx, 0, d.wallet, d.direction, d.amount, d.currency, d.sequence, d.balance, posted, h.hash
        FROM drawn d JOIN unnest(entries, hashes) AS h (id, hash) ON h.id = d.id;
    IF '@tables' = 'bare' THEN
        UPDATE wallet_wallet w SET balance = last.balance, sequence = last.sequence, head = last.hash,
                last_posted_at = posted
            FROM (SELECT DISTINCT ON (d.wallet) d.wallet, d.balance, d.sequence, h.hash FROM drawn d
                  JOIN unnest(entries, hashes) AS h (id, hash) ON h.id = d.id ORDER BY d.wallet, d.sequence DESC) last
            WHERE w.id = last.wallet;
    END IF;
    INSERT INTO fintech_core_auditlog (actor_kind, actor_id, actor_name, actor_roles, action, entity_type, entity_id,
            before, after, reason, request_id)
        SELECT 'user', initiator, '', '["client"]', 'transfer.created', 'transaction', tx::text, '{}',
            jsonb_build_object('status', 'POSTED', 'money', amount || ' USD', 'fee', '0.00 USD',
                'source_wallet', source, 'destination_wallet', destination), '', ''
        FROM batch;
    INSERT INTO fintech_core_outboxevent (event_id, type, entity_type, entity_id, owner_id, payload)
        SELECT uuidv7(), 'transaction.posted', 'transaction', tx, owner,
            @schema.described(wallet, direction, amount, balance, exponent)
        FROM drawn;
    UPDATE fintech_core_idempotencyrecord SET status = 200, content_type = 'application/json',
        body = convert_to((SELECT jsonb_agg(tx)::text FROM batch), 'UTF8') WHERE id = claim;
END $$;
