package main

import (
	"encoding/json"
	"os"
	"syscall"
)

const configuration = "xb.yml"

// execXephonB becomes Xephon-B: its configuration is written to the working folder (JSON is YAML).
func execXephonB(o Options) error {
	text, err := json.MarshalIndent(o.forXephonB(), "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(configuration, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return syscall.Exec(o.Binary, []string{o.Binary, "run", "--config", configuration}, os.Environ())
}

func (o Options) forXephonB() map[string]any {
	type keys = map[string]any
	return keys{
		"workload": "benchctl", "database": "benchctl", "reporter": "benchctl",
		"limit": "time", "duration": o.Duration.String(), "worker": keys{"num": o.Workers},
		"workloads": []keys{{
			"name":  "benchctl",
			"batch": keys{"series": o.BatchSeries, "points": o.BatchPoints},
			"series": keys{
				"prefix": o.Prefix, "num": o.Series, "churn": false, "numTags": o.NumTags, "groupPointsBySeries": o.Group,
			},
			"time": keys{"interval": o.Interval.String()},
			"value": keys{
				"generator": o.Generator,
				"constant":  keys{"int": int(o.Constant), "double": o.Constant},
				"random":    keys{"min": o.Min, "max": o.Max},
			},
		}},
		"databases": []keys{{
			"name": "benchctl", "type": "kairosdb", "kairosdb": keys{"addr": o.Addr, "timeout": o.Timeout.String()},
		}},
		"reporters": []keys{{"name": "benchctl", "type": "counter", "counter": keys{}}},
	}
}
