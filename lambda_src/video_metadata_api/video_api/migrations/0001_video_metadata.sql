-- The videos. Lengths and states are checked here as in the API's description: the processing
-- task writes to this table as well.
CREATE TABLE video_metadata (
    id           uuid        PRIMARY KEY,
    title        text        NOT NULL CHECK (char_length(title) BETWEEN 1 AND 200),
    description  text                 CHECK (char_length(description) <= 5000),
    source_uri   text        NOT NULL CHECK (char_length(source_uri) <= 2048),
    status       text        NOT NULL DEFAULT 'pending'
                 CONSTRAINT video_metadata_status
                 CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
    duration_ms  bigint               CHECK (duration_ms >= 0),
    size_bytes   bigint               CHECK (size_bytes >= 0),
    content_type text                 CHECK (char_length(content_type) <= 70),
    tags         jsonb       NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(tags) = 'array'),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

-- A page is read from one of these, from its place on: page 1,000 costs what page 1 does.
CREATE INDEX video_metadata_newest ON video_metadata (created_at DESC, id DESC);
CREATE INDEX video_metadata_newest_of_status
    ON video_metadata (status, created_at DESC, id DESC);
