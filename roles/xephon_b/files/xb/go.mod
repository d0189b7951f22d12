module benchctl/xb

go 1.24

require github.com/libtsdb/libtsdb-go v0.0.1

require (
	github.com/dyweb/gommon v0.0.5 // indirect
	github.com/gogo/protobuf v1.3.2 // indirect
	github.com/stretchr/testify v1.12.1 // indirect
	golang.org/x/net v0.24.0 // indirect
	gopkg.in/yaml.v2 v2.4.0 // indirect
)
