-- Which of ten accounts are not among ten thousand others? With enough work_mem PostgreSQL keeps the ten thousand
-- in one hash table; with too little it walks through them for each of the ten.
-- The range fits the 500,000 accounts of scale 5.
\set first random(1, 490000)
SELECT count(*)
  FROM pgbench_accounts AS wanted
 WHERE wanted.aid BETWEEN :first AND :first + 9
   AND wanted.aid * 2 NOT IN (SELECT known.aid
                                FROM pgbench_accounts AS known
                               WHERE known.aid BETWEEN :first AND :first + 9999);
