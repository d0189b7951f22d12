// Command xb loads a KairosDB with points and reads them back.
//
// The options of `xb run` are the keys of Xephon-B's configuration, its last line of output has Xephon-B's keys,
// and points are sent by Xephon-B's database client, libtsdb-go. With -binary, Xephon-B itself does the load.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
)

const version = "1"

const usage = `usage: xb run|ping|verify|version [OPTIONS]

run      send points for a while; the last line of output is the report
ping     ask whether KairosDB is healthy
verify   count the points of a report in KairosDB; exit code 1 when there are more or fewer
version  print the version

xb COMMAND -h lists the options of a command.`

func main() {
	if err := act(context.Background(), os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "xb:", err)
		os.Exit(1)
	}
}

func act(ctx context.Context, words []string) error {
	if len(words) == 0 {
		return errors.New(usage)
	}
	switch command, rest := words[0], words[1:]; command {
	case "run":
		options, err := readOptions(rest)
		if err != nil {
			return err
		}
		if options.Binary != "" {
			return execXephonB(options)
		}
		return run(ctx, options, os.Stdout)
	case "ping":
		return ping(rest, os.Stdout)
	case "verify":
		return verify(rest, os.Stdout)
	case "version":
		fmt.Println("xb", version)
		return nil
	}
	return fmt.Errorf("unknown command %q\n%s", words[0], usage)
}
