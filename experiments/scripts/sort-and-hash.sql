-- Aggregates and sorts 50,000 rows: about 4 MB to sort and a hash of the same order, so that work_mem decides
-- whether it happens in memory or in temporary files. The range fits the 500,000 accounts of scale 5.
\set first random(1, 450000)
SELECT count(*), max(running)
  FROM (SELECT sum(total) OVER (ORDER BY total, grouped) AS running
          FROM (SELECT aid / 2 AS grouped, sum(abalance + aid % 97) AS total, max(filler) AS padding
                  FROM pgbench_accounts
                 WHERE aid BETWEEN :first AND :first + 49999
                 GROUP BY aid / 2) AS groups
         WHERE padding IS NOT NULL) AS windowed;
