module benchctl.invalid/hey

go 1.24.0

require github.com/rakyll/hey v0.1.5
