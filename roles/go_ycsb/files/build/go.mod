module benchctl.invalid/go_ycsb

go 1.21

require github.com/pingcap/go-ycsb v1.0.1
