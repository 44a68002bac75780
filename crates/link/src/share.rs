//! Maps of two instances made one, in images that are laid out: [`ImageSet::share_map`].

use bpfweld_object::DataKind;

use crate::image::{ImageSet, ImageTarget, MapContent, MapIndex, SlotRef};

impl ImageSet {
    /// Has everything that uses the map `from` use the map `with`, and drops `from`: maps behind it move
    /// up by one. Both are defined by their objects, alike but for their names, types and initial values;
    /// those of `with` count. The error says what is in the way.
    pub fn share_map(&mut self, from: MapIndex, with: MapIndex) -> Result<(), String> {
        if from == with {
            return Ok(());
        }
        self.alike(from, with)?;
        let moved = |index: MapIndex| {
            let index = if index == from { with } else { index };
            MapIndex(if index > from { index.0.saturating_sub(1) } else { index.0 })
        };
        // A map has to stay behind those that it holds.
        let holds = |slot: &(u32, SlotRef)| matches!(slot.1, SlotRef::Map(held) if held == from);
        let early = self.maps.iter().take(with.index()).find(|map| match &map.content {
            MapContent::Defined(spec) => spec.values.iter().any(holds),
            _ => false,
        });
        if let Some(map) = early {
            return Err(format!("`{}` of `{}` holds it", map.name, map.label));
        }
        for map in &mut self.maps {
            let MapContent::Defined(spec) = &mut map.content else { continue };
            for (_, slot) in &mut spec.values {
                if let SlotRef::Map(index) = slot {
                    *index = moved(*index);
                }
            }
        }
        for reloc in self.images.iter_mut().flat_map(|image| &mut image.relocs) {
            if let ImageTarget::Map(map) | ImageTarget::MapValue { map, .. } = &mut reloc.target {
                *map = moved(*map);
            }
        }
        self.maps.remove(from.index());
        Ok(())
    }

    fn alike(&self, from: MapIndex, with: MapIndex) -> Result<(), String> {
        let content = |at: MapIndex| self.maps.get(at.index()).map(|map| &map.content);
        let (Some(from), Some(with)) = (content(from), content(with)) else {
            return Err("there is no such map".into());
        };
        let (MapContent::Defined(from), MapContent::Defined(with)) = (from, with) else {
            let variables = |c: &MapContent| match c {
                MapContent::Data { kind, .. } => *kind != DataKind::Rodata,
                _ => false,
            };
            return Err(match variables(from) || variables(with) {
                true => "variables are not shared".into(),
                false => "constants are not shared".into(),
            });
        };
        let pairs = [
            ("type", with.map_type, from.map_type),
            ("key size", with.key_size, from.key_size),
            ("value size", with.value_size, from.value_size),
            ("flags", with.map_flags, from.map_flags),
            ("number of entries", with.max_entries, from.max_entries),
        ];
        match pairs.into_iter().find(|(_, has, wants)| has != wants) {
            Some((what, has, wants)) => {
                Err(format!("its {what} is {has}, the object wants {wants}"))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bpfweld_btf::BtfBuilder;

    use super::*;
    use crate::image::{ImageMap, InstanceId, MapSpec, Origin};

    fn map(instance: u32, name: &str, value_size: u32, holds: &[u32]) -> ImageMap {
        let map_type = if holds.is_empty() { 2 } else { 12 };
        let spec = MapSpec {
            values: (0..).zip(holds).map(|(i, m)| (i, SlotRef::Map(MapIndex(*m)))).collect(),
            ..MapSpec::new(map_type, 4, value_size, 1)
        };
        ImageMap {
            name: name.into(),
            instance: InstanceId(instance),
            label: instance.to_string(),
            content: MapContent::Defined(spec),
            existing: None,
        }
    }

    fn set(maps: Vec<ImageMap>) -> ImageSet {
        ImageSet {
            maps,
            btf: Arc::new(BtfBuilder::new().finish().unwrap()),
            images: Vec::new(),
            entries: 0,
            warnings: Vec::new(),
            origin: Arc::new(Origin::default()),
        }
    }

    fn held(set: &ImageSet, at: usize) -> Vec<u32> {
        let MapContent::Defined(spec) = &set.maps[at].content else { panic!("no such map") };
        spec.values
            .iter()
            .map(|(_, slot)| match slot {
                SlotRef::Map(index) => index.0,
                SlotRef::Image(_) => panic!("no map"),
            })
            .collect()
    }

    #[test]
    fn maps_behind_it_move_up() {
        let mut set = set(vec![
            map(0, "a", 4, &[]),
            map(0, "b", 8, &[]),
            map(1, "c", 4, &[]),
            map(1, "outer", 4, &[0, 1, 2]),
        ]);
        set.share_map(MapIndex(0), MapIndex(2)).unwrap();
        let names: Vec<_> = set.maps.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["b", "c", "outer"]);
        assert_eq!(held(&set, 2), [1, 0, 1]);
        // Its own is no change.
        set.share_map(MapIndex(1), MapIndex(1)).unwrap();
        assert_eq!(set.maps.len(), 3);
    }

    #[test]
    fn what_cannot_be_shared() {
        let maps = vec![
            map(0, "a", 4, &[]),
            map(0, "outer", 4, &[0]),
            map(1, "b", 8, &[]),
            map(1, "c", 4, &[]),
        ];
        let mut set = set(maps);
        let refused = |set: &mut ImageSet, from, with| {
            set.share_map(MapIndex(from), MapIndex(with)).unwrap_err()
        };
        assert!(refused(&mut set, 0, 2).contains("its value size is 8, the object wants 4"));
        assert!(refused(&mut set, 0, 3).contains("`outer` of `0` holds it"));
        assert!(refused(&mut set, 0, 9).contains("no such map"));
        assert_eq!(set.maps.len(), 4);
    }
}
