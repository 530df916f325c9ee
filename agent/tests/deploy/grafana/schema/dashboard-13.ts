// A dashboard with the types of panels that ours have, out of the types that Grafana publishes: in these, the options of a panel are
// open, as each type of panel defines its own. Options with a default may be missing.
import * as dashboard from './node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen';
import * as timeseries from './node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen';
import * as stat from './node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen';
import * as bargauge from './node_modules/@grafana/schema/dist/types/raw/composable/bargauge/panelcfg/x/types.gen';
import * as table from './node_modules/@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen';

type Of<Type extends string, Options, Custom> = Omit<dashboard.Panel, 'type' | 'options' | 'fieldConfig'> & {
  type: Type;
  options?: Partial<Options>;
  fieldConfig?: {
    defaults: Omit<dashboard.FieldConfig, 'custom'> & { custom?: Partial<Custom> };
    overrides: dashboard.FieldConfigSource['overrides'];
  };
};
type Panel =
  | dashboard.RowPanel
  | Of<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | Of<'stat', stat.Options, {}>
  | Of<'bargauge', bargauge.Options, {}>
  | Of<'table', table.Options, table.FieldConfig>;
export type Root = Omit<dashboard.Dashboard, 'panels'> & { panels: Panel[] };
