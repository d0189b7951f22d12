-- A measuring user of this name may have an account already: mariadb-install-db makes one for who runs it.
FLUSH PRIVILEGES;
CREATE DATABASE bench;
DROP USER IF EXISTS bench@localhost;
CREATE USER bench@localhost;
GRANT ALL PRIVILEGES ON *.* TO bench@localhost;
