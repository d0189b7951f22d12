-- Prints what the database holds as one JSON object, which the agent compares with that of the data image: the rows of
-- each table up to :exact bytes, and the bytes of larger ones, so that a check costs a trial neither time nor a warm cache.
SELECT 'SELECT coalesce(json_object_agg(name, value ORDER BY name), ''{}'') FROM ('
    || coalesce(string_agg(asked, ' UNION ALL '), 'SELECT '''' AS name, 0 AS value WHERE false')
    || ') AS counted'
FROM (
    SELECT CASE
        WHEN pg_relation_size(c.oid) <= :exact
        THEN format('SELECT %L AS name, count(*) AS value FROM %I.%I', n.nspname || '.' || c.relname || ' rows', n.nspname, c.relname)
        ELSE format('SELECT %L AS name, pg_relation_size(%s) AS value', n.nspname || '.' || c.relname || ' bytes', c.oid)
    END AS asked
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
) AS tables
\gexec
