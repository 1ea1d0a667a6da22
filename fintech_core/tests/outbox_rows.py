"""Rows of the outbox, past its services."""

INSERT = (
    "INSERT INTO fintech_core_outboxevent (event_id, type, entity_type, entity_id, owner_id, payload)"
    " VALUES (gen_random_uuid(), %s, 'thing', gen_random_uuid(), %s, '{}')"
)
