-- One row for each Idempotency-Key: what was asked, and the answer to give again.
-- json, not jsonb: the answer is given again as it was, in the same order of fields.
CREATE TABLE idempotency_keys (
    key          text        PRIMARY KEY CHECK (char_length(key) <= 200),
    request_hash text        NOT NULL CHECK (char_length(request_hash) = 64),
    response     json        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- For forgetting old keys.
CREATE INDEX idempotency_keys_oldest ON idempotency_keys (created_at);
