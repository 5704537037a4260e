-- The role the API logs in as: it reads and adds, owns nothing and may not change what is there.
-- Its password is no part of a migration; it is set from the role's secret at every run.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'video_app') THEN
        CREATE ROLE video_app;
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO video_app', current_database());
END
$$;

ALTER ROLE video_app WITH LOGIN NOCREATEDB NOCREATEROLE NOINHERIT;
ALTER ROLE video_app SET statement_timeout = '5s';
ALTER ROLE video_app SET lock_timeout = '3s';
ALTER ROLE video_app SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE video_app SET search_path = public;

GRANT USAGE ON SCHEMA public TO video_app;
GRANT SELECT, INSERT ON video_metadata TO video_app;
GRANT SELECT, INSERT ON idempotency_keys TO video_app;
