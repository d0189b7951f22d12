-- A measuring user of this name has an account already: mariadb-install-db makes one for who runs it.
FLUSH PRIVILEGES;
CREATE DATABASE bench;
CREATE OR REPLACE USER bench@localhost;
GRANT ALL PRIVILEGES ON *.* TO bench@localhost;
