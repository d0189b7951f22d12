CREATE DATABASE bench;
CREATE USER bench@localhost;
GRANT ALL PRIVILEGES ON *.* TO bench@localhost;
